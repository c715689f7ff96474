import sys
import types

import pytest

from bus_toolkit import hookimpl
from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError


def _problems(write, text):
    with pytest.raises(ConfigError) as caught:
        load_config(write("_base_: base.yaml\n" + text))
    return [str(problem) for problem in caught.value.problems]


def test_a_good_config_passes(write):
    assert load_config(write("_base_: base.yaml")).model.type == "bus_toolkit.VLPModel"


def test_all_mistakes_are_reported_at_once_with_path_and_nearest_name(write):
    problems = _problems(
        write,
        """
model:
  text_encoder: {droput: 0.1}
  backbone: {arch: 3}
  decoder: {type: PADD}
  selectors: [{type: TSPS, keep_ratio: 1.5}, {type: TSPS, blocks: 3, fuse: rw}]
  heads: {one: {weight: heavy}, two: {}}
  conditioning: {mode: shard}
train_dataloader: {batch_sizes: 3, dataset: {type: Pionts}}
train_cfg: {max_epoch: 3}
default_hooks: {logger: {interval: often}}
randomness: {sead: 1}
reusme: true
""",
    )
    expected = [
        "model.text_encoder.droput: Encoder has no argument 'droput'. Did you mean 'dropout'?",
        "model.backbone.arch: must be text, got 3.",
        "model.decoder.type: no abstraction decoder named 'PADD'. Did you mean 'PAD'? Registered: Identity, PAD.",
        "model.selectors.0.blocks: TSPS needs this argument, got nothing.",
        "model.selectors.0.keep_ratio: must be in (0, 1], got 1.5.",
        "model.selectors.1.blocks: must be a list (a whole number each), got 3. Put it into a list: [3].",
        "model.selectors.1.fuse: must be one of none, raw, got 'rw'.",
        "model.heads.one.weight: must be a number, got 'heavy'.",
        "model.heads.two.type: is missing. Name a registered head.",
        "model.conditioning.mode: must be one of shared, masked, own_prefix, free_itc, strict, got 'shard'.",
        "train_dataloader.batch_sizes: a data loader has no argument 'batch_sizes'. Did you mean 'batch_size'?",
        "train_dataloader.dataset.type: no dataset is registered as 'Pionts'. Did you mean 'Points'?",
        "train_cfg.max_epoch: EpochBasedTrainLoop has no argument 'max_epoch'. Did you mean 'max_epochs'?",
        "default_hooks.logger.interval: must be a whole number, got 'often'.",
        "randomness.sead: randomness has no argument 'sead'. Did you mean 'seed'?",
        "reusme: no such key at the top of a config. Did you mean 'resume'?",
    ]
    for start in expected:
        assert any(problem.startswith(start) for problem in problems), f"{start}\nnot in\n" + "\n".join(problems)
    assert len(problems) == len(expected)


@pytest.mark.parametrize(
    "text, path",
    [
        ("model: {backbone: {type: torch.nn.Linear}}", "model.backbone.type"),
        ("model: {type: os.system}", "model.type"),
        ("optim_wrapper: {optimizer: {type: torch.optim.Adam}}", "optim_wrapper.optimizer.type"),
        ("custom_hooks: [{type: os.system}]", "custom_hooks.0.type"),
        ("custom_hooks: [{type: EMAHook, ema_type: os.getcwd}]", "custom_hooks.0.ema_type"),
        ("default_hooks: {logger: {interval: {type: os.getcwd}}}", "default_hooks.logger.interval.type"),
        ("train_dataloader: {collate_fn: {type: os.getcwd}}", "train_dataloader.collate_fn.type"),
        ("train_dataloader: {dataset: {pipeline: [{type: os.getcwd}]}}", "train_dataloader.dataset.pipeline.0.type"),
        ("optim_wrapper: {constructor: this}", "optim_wrapper.constructor"),
        ("env_cfg: {mp_cfg: {type: this}}", "env_cfg.mp_cfg.type"),
        ("train_cfg: {_scope_: this}", "train_cfg._scope_"),
        ("default_scope: this", "default_scope"),
        ("custom_imports: {imports: [this]}", "custom_imports"),
    ],
)
def test_no_name_in_a_config_imports_code(write, text, path):
    assert any(problem.startswith(f"{path}: ") for problem in _problems(write, text))
    assert "this" not in sys.modules


def test_types_inside_the_arguments_of_a_library_class_must_be_registered_too(write):
    backbone = "{type: mmpretrain.VisionTransformer, norm_cfg: {type: %s}}"
    assert _problems(write, "model: {backbone: %s}" % (backbone % "this"))[0].startswith(
        "model.backbone.norm_cfg.type:"
    )
    load_config(write("_base_: base.yaml\nmodel: {backbone: %s}" % (backbone % "LN")))


def test_mmpretrain_parts_are_checked_like_ours(write):
    problems = _problems(write, "model: {backbone: {type: mmpretrain.VisionTransformer, img_sise: 64}}")
    assert "Did you mean 'img_size'?" in problems[0]
    problems = _problems(write, "train_dataloader: {dataset: {pipeline: [{type: PackInputs}]}}")
    assert "Did you mean 'mmpretrain.PackInputs'?" in problems[0]


def test_a_node_must_be_a_mapping(write):
    assert _problems(write, "custom_hooks: [LoggerHook]") == [
        "custom_hooks.0: must be a mapping with a 'type', got 'LoggerHook'. Write {type: LoggerHook}."
    ]


def test_a_loader_needs_a_sampler(write):
    problems = _problems(write, "train_dataloader: {_delete_: true, batch_size: 2, dataset: {type: Points}}")
    assert problems[0].startswith("train_dataloader.sampler: MMEngine needs this key.")


def test_a_keep_ratio_schedule_is_checked(write):
    text = "model: {selectors: [{type: Random, blocks: [1], keep_ratio: {start: 1.0, end: %s}}]}"
    assert "a schedule takes start, end, epochs and shape" in _problems(write, text % "0.5")[0]
    assert (
        "model.selectors.0.keep_ratio.end: must be in (0, 1], got 2.0." in _problems(write, text % "2.0, epochs: 1")[0]
    )
    load_config(write("_base_: base.yaml\n" + text % "0.5, epochs: 5, shape: cosine"))


def test_parts_that_cannot_work_together_are_reported(write):
    problems = _problems(write, "model: {momentum: {decay: 0.9}}")
    assert problems == [
        "model.momentum: it follows the projections of one contrastive head, got none. Have exactly one, such as "
        "ITCHead, or a head that distils by its alpha, or remove model.momentum."
    ]


def test_counts_below_one_are_reported(write):
    text = "train_dataloader: {batch_size: 0, num_workers: 0, persistent_workers: true}\ntrain_cfg: {max_epochs: 0}"
    assert _problems(write, text) == [
        "train_dataloader.batch_size: must be at least 1, got 0.",
        "train_dataloader.persistent_workers: true needs num_workers of at least 1, got 0. Set it to false.",
        "train_cfg.max_epochs: must be at least 1, got 0.",
    ]


def test_an_optimizer_is_checked(write):
    assert _problems(write, "optim_wrapper: {optimizer: {lr: fast}}") == [
        "optim_wrapper.optimizer.lr: must be a number, got 'fast'."
    ]


def test_an_unknown_type_points_to_plugins_that_failed(write, use_plugins):
    module = types.ModuleType("broken")
    module.register_components = hookimpl(lambda: 1 / 0)
    use_plugins(module)
    problems = _problems(write, "model: {selectors: [{type: OfBroken, blocks: [1]}]}")
    assert problems[1] == (
        "plugins: the parts of 'broken' are missing, because it failed: ZeroDivisionError: division by zero. "
        "`bus-toolkit describe plugins` shows the traceback."
    )
    assert len(_problems(write, "train_cfg: {max_epochs: 0}")) == 1


def test_a_custom_key_holds_settings(write):
    text = "optim_wrapper: {type: OptimWrapper, paramwise_cfg: {custom_keys: {heads: 0.1}}}"
    (problem,) = _problems(write, text)
    assert problem.startswith(
        "optim_wrapper.paramwise_cfg.custom_keys: must be a mapping (a mapping each), got {'heads'"
    )


@pytest.mark.parametrize("value", [True, 1.5, "x", [1], ["a"]])
def test_a_loader_that_is_no_mapping_is_refused(value):
    with pytest.raises(ConfigError, match="train_dataloader: must be a mapping with a dataset, got"):
        load_config("bus/bus_scenes_tiny", {"train_dataloader": value})


@pytest.mark.parametrize("path", ["model.conditioning.mode", "optim_wrapper.clip_grad.type", "model.heads.itc.type"])
def test_a_mapping_in_place_of_a_name_is_refused(path):
    with pytest.raises(ConfigError, match=path.replace(".", r"\.")):
        load_config("bus/bus_scenes_tiny", {path: {}})
