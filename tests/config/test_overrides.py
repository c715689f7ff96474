import pytest

from bus_toolkit.config import load_config
from bus_toolkit.config.overrides import apply_overrides
from bus_toolkit.errors import ConfigError


def _load(write, *overrides):
    return load_config(write("_base_: base.yaml"), overrides)


def _problems(write, *overrides):
    with pytest.raises(ConfigError) as caught:
        _load(write, *overrides)
    return [str(problem) for problem in caught.value.problems]


def test_values_are_yaml_and_paths_reach_into_lists(write):
    cfg = _load(write, "model.selectors.0.keep_ratio=0.3", "optim_wrapper.optimizer.lr=2e-4", "work_dir=a=b")
    assert (cfg.model.selectors[0].keep_ratio, cfg.optim_wrapper.optimizer.lr, cfg.work_dir) == (0.3, 2e-4, "a=b")


def test_a_mapping_of_overrides_works_too(write):
    cfg = load_config(write("_base_: base.yaml"), {"model.selectors": [], "randomness.seed": 5})
    assert cfg.model.selectors == [] and cfg.randomness.seed == 5


def test_swapping_a_type_by_one_word(write):
    assert _load(write, "model.decoder.type=Identity").model.decoder == {"type": "Identity"}
    assert _load(write, "model.selectors.0.type=Random").model.selectors == [
        {"type": "Random", "blocks": [3], "keep_ratio": 0.5}
    ]


def test_the_order_of_the_words_does_not_matter(write):
    words = ["model.decoder.num_layers=3", "model.decoder.type=Identity"]
    for order in (words, words[::-1]):
        assert _problems(write, *order) == ["model.decoder.num_layers: model.decoder has no 'num_layers'. It has type."]
    words = ["optim_wrapper.optimizer.momentum=0.9", "optim_wrapper.optimizer.type=SGD"]
    assert _load(write, *words).optim_wrapper == _load(write, *words[::-1]).optim_wrapper


def test_a_list_given_whole_does_not_undo_what_another_word_says_of_its_entries(write):
    words = ["model.selectors=[{type: TSPS, blocks: [2]}]", "model.selectors.0.type=Random"]
    for order in (words, words[::-1]):
        assert _load(write, *order).model.selectors == [{"type": "Random", "blocks": [2]}]
    words = ["optim_wrapper={type: OptimWrapper, optimizer: {type: SGD, lr: 0.1}}", "optim_wrapper.optimizer.lr=0.2"]
    for order in (words, words[::-1]):
        assert _load(write, *order).optim_wrapper.optimizer.lr == 0.2


def test_an_argument_that_the_yaml_does_not_write_is_accepted(write):
    cfg = _load(write, "model.selectors.0.fuse=raw", "model.conditioning.mode=strict", "env_cfg.cudnn_benchmark=true")
    assert cfg.model.selectors[0].fuse == "raw"
    assert cfg.model.conditioning == {"mode": "strict"}
    assert cfg.env_cfg == {"cudnn_benchmark": True}


def test_names_that_users_choose_may_be_new(write):
    assert _load(write, "model.heads.two={type: Head}").model.heads.two == {"type": "Head"}
    assert "Did you mean 'one'?" in _problems(write, "model.heads.ohne.weight=1")[0]


def test_every_mistyped_path_is_reported_with_the_nearest_name(write):
    problems = _problems(
        write,
        "model.selectors.0.keep_ration=0.3",
        "model.selectors.1.keep_ratio=0.3",
        "modle.decoder.type=PAD",
        "optim_wrapper.optimizer.lrr=1",
        "model.decoder.num_layers.x=1",
        "train_dataloader.batchsize=1",
    )
    assert len(problems) == 6
    assert "Did you mean 'keep_ratio'?" in problems[0]
    assert "model.selectors is a list of 1, got the index '1'" in problems[1]
    assert problems[2].startswith("modle.decoder.type: the config has no 'modle'. Did you mean 'model'?")
    assert "Did you mean 'lr'?" in problems[3]
    assert "model.decoder.num_layers is the value 1, which has no 'x'" in problems[4]
    assert "Did you mean 'batch_size'?" in problems[5]


def test_a_word_without_a_value_is_refused(write):
    assert _problems(write, "model.decoder") == [
        "--cfg-options: must be KEY=VALUE, got 'model.decoder'. Write e.g. model.decoder.num_layers=2."
    ]
    assert (
        "--cfg-options work_dir:1:1: the tag !!python/none is refused" in _problems(write, "work_dir=!!python/none")[0]
    )


def test_null_takes_an_entry_out_of_a_mapping_whose_names_the_user_chooses(write):
    cfg = _load(write, "model.heads.two={type: Head}", "model.heads.one=null")
    assert dict(cfg.model.heads) == {"two": {"type": "Head"}}
    assert _load(write, "default_hooks.logger=null").default_hooks.logger is None
    assert _load(write, "work_dir='None'").work_dir == "None"
    with pytest.raises(ConfigError, match="--cfg-options work_dir: got Python's None; YAML writes null"):
        _load(write, "work_dir=None")


def test_a_type_adds_an_entry_to_a_mapping_whose_names_the_user_chooses(write):
    cfg = _load(write, "model.heads.two.weight=2.0", "model.heads.two.type=Head")
    assert cfg.model.heads.two == {"type": "Head", "weight": 2.0}
    assert "To add one, give model.heads.two.type too." in _problems(write, "model.heads.two.weight=2.0")[0]


@pytest.mark.parametrize("path", ["model.heads..type", ".model", "model."])
def test_a_path_with_nothing_beside_a_dot_is_refused(path):
    config = {"model": {"heads": {}}}
    (problem,) = apply_overrides(config, [(path, 1)])
    assert str(problem).startswith(f"{path}: a name is missing beside a dot")
    assert config == {"model": {"heads": {}}}
