import types

import pytest

from bus_toolkit import hookimpl
from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError, PluginError


def test_a_missing_file_suggests_its_neighbour(write, tmp_path):
    with pytest.raises(ConfigError, match="no such config file. Did you mean 'base.yaml'?"):
        load_config(tmp_path / "bsae.yaml")
    with pytest.raises(ConfigError, match="There is no folder"):
        load_config(tmp_path / "no" / "x.yaml")


def test_bases_merge_in_their_order_and_the_file_goes_last(write):
    write("randomness: {seed: 1}\nwork_dir: a", "one.yaml")
    write("randomness: {deterministic: true}\nwork_dir: b", "two.yaml")
    cfg = load_config(write("_base_: [base.yaml, one.yaml, two.yaml]\ntrain_cfg: {max_epochs: 7}"))
    assert cfg.randomness == {"seed": 1, "deterministic": True}
    assert cfg.work_dir == "b"
    assert cfg.train_cfg == {"type": "EpochBasedTrainLoop", "max_epochs": 7}


def test_a_circle_of_bases_is_reported(write):
    write("_base_: two.yaml", "one.yaml")
    with pytest.raises(ConfigError, match=r"leads back to this file \(one.yaml -> two.yaml -> one.yaml\)"):
        load_config(write("_base_: one.yaml", "two.yaml").with_name("one.yaml"))


def test_a_base_must_be_a_path(write):
    with pytest.raises(ConfigError, match="_base_ must be a path or a list of paths, got 3"):
        load_config(write("_base_: [3]"))


def test_plugins_must_be_a_list_of_names(write):
    with pytest.raises(ConfigError, match="plugins: must be a list of names, got 'saliency'"):
        load_config(write("_base_: base.yaml\nplugins: saliency"))


def test_a_named_plugin_must_be_there(write):
    path = write("_base_: base.yaml\nplugins: [elsewhere]")
    with pytest.raises(PluginError, match="'elsewhere' is not installed. Install the package that brings it"):
        load_config(path)
    assert load_config(path, ["plugins=[]"]).plugins == []


def test_a_plugin_brings_configs_and_changes_them(write, use_plugins, tmp_path):
    def adjust_config(config):
        config["work_dir"] = "from_plugin"

    module = types.ModuleType("bringer")
    module.config_folders = hookimpl(lambda: [tmp_path])
    module.adjust_config = hookimpl(adjust_config)
    module.runner_hooks = hookimpl(lambda: [{"type": "EMAHook"}])
    use_plugins(module)
    cfg = load_config("bringer::base.yaml")
    assert cfg.work_dir == "from_plugin" and cfg.custom_hooks == [{"type": "bus_toolkit.EMAHook"}]
    assert load_config(write("_base_: bringer::base.yaml")).model == cfg.model
    with pytest.raises(ConfigError, match="bringer::../x.yaml: no such config file. Folders looked at"):
        load_config("bringer::../x.yaml")
    with pytest.raises(PluginError, match="'nobody' is not installed"):
        load_config("nobody::base.yaml")


def test_null_in_a_file_takes_a_head_of_its_base_out(write):
    cfg = load_config(write("_base_: base.yaml\nmodel: {heads: {one: null, two: {type: Head}}}"))
    assert list(cfg.model.heads) == ["two"]


def test_a_missing_base_names_the_file_that_asks_for_it(write):
    path = write("_base_: bose.yaml")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert f"no such config file. It is in _base_ of {path}. Did you mean 'base.yaml'?" in str(caught.value)


def test_an_empty_file_is_named(write):
    with pytest.raises(ConfigError, match=r"run.yaml: the file is empty, got no key. .*_base_: bus/bus_scenes_tiny"):
        load_config(write("# nothing yet\n"))


def test_a_python_config_is_recognised(write):
    with pytest.raises(ConfigError, match=r"deit.py: this is a Python config of OpenMMLab.*got .py.*custom_imports"):
        load_config(write("model = dict(type='x')", "deit.py"))


@pytest.mark.parametrize(
    ("base", "message"),
    [
        *(("5", "must be a path or a list of paths, got 5"), ("null", "got None"), ("[[]]", r"got \[\]")),
        *(("x" * 300, "no file can have this name, of 300 bytes"), ('"a\\0b"', "no zero character")),
        ("~nosuchuser/x", "no such config file"),
    ],
)
def test_a_base_that_is_no_path_is_refused(tmp_path, base, message):
    file = tmp_path / "a.yaml"
    file.write_text(f"_base_: {base}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(file)
