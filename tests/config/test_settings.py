import pytest

from bus_toolkit import load_config
from bus_toolkit.errors import ConfigError

SETTINGS = """
_base_: base.yaml
settings: {length: 5, loader: LoadImageFromFile}
train_dataloader:
  dataset: {length: "${settings.length}", pipeline: [{type: "${settings.loader}"}]}
"""


def test_a_value_is_written_once_and_used_at_several_places(write):
    config = load_config(write(SETTINGS))
    assert config.train_dataloader.dataset.length == 5
    assert config.train_dataloader.dataset.pipeline[0].type == "LoadImageFromFile"
    assert "settings" not in config


def test_overrides_and_later_files_change_it(write):
    assert load_config(write(SETTINGS), ["settings.length=7"]).train_dataloader.dataset.length == 7
    write(SETTINGS, "template.yaml")
    path = write("_base_: template.yaml\nsettings: {length: 9}\n", "mine.yaml")
    assert load_config(path).train_dataloader.dataset.length == 9


def test_the_kind_of_a_value_is_checked_where_it_is_used(write):
    with pytest.raises(ConfigError, match=r"train_dataloader.dataset.length: must be a whole number, got 'many'"):
        load_config(write(SETTINGS), ["settings.length=many"])


def test_an_unknown_setting_is_named_with_the_nearest(write):
    path = write(SETTINGS.replace("settings.length", "settings.lenght"))
    with pytest.raises(ConfigError, match=r"dataset.length: there is no settings.lenght. Did you mean 'length'"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"settings.lenth: settings has no 'lenth'. Did you mean 'length'"):
        load_config(write(SETTINGS), ["settings.lenth=3"])


def test_a_reference_inside_a_text_is_refused(write):
    path = write(SETTINGS.replace('"${settings.loader}"', '"Load${settings.loader}"'))
    with pytest.raises(ConfigError, match=r"pipeline.0.type: a reference must be the whole value, got 'Load"):
        load_config(path)


def test_settings_must_be_a_mapping(write):
    with pytest.raises(ConfigError, match=r"settings: must be a mapping of names to values, got 3"):
        load_config(write("_base_: base.yaml\nsettings: 3\n"))


def test_a_misspelt_setting_of_a_later_file_is_an_error_and_a_leftover_one_is_not(write):
    write(SETTINGS, "template.yaml")
    path = write("_base_: template.yaml\nsettings: {lenght: 9}\n", "mine.yaml")
    with pytest.raises(ConfigError, match=r"settings.lenght: nothing uses this setting. Did you mean 'length'"):
        load_config(path)
    path = write("_base_: template.yaml\nsettings: {colour: red}\n", "mine.yaml")
    assert load_config(path).train_dataloader.dataset.length == 5


def test_a_setting_may_refer_to_another_one(write):
    text = SETTINGS.replace("length: 5,", 'length: "${settings.size}", size: "${settings.base}", base: 6,')
    assert load_config(write(text)).train_dataloader.dataset.length == 6
    assert load_config(write(text), ["settings.base=8"]).train_dataloader.dataset.length == 8


def test_settings_that_refer_to_each_other_in_a_circle_are_named_once(write):
    text = SETTINGS.replace("length: 5,", 'length: "${settings.a}", a: "${settings.b}", b: "${settings.a}",')
    with pytest.raises(
        ConfigError, match=r"settings.b: leads back to itself \(a -> b -> a\)\. Write a value"
    ) as caught:
        load_config(write(text))
    assert str(caught.value).count("leads back") == 1
    text = SETTINGS.replace("length: 5,", 'length: "${settings.length}",')
    with pytest.raises(ConfigError, match=r"settings.length: leads back to itself \(length -> length\)"):
        load_config(write(text))


def test_an_unknown_setting_that_a_setting_refers_to_is_named(write):
    text = SETTINGS.replace("length: 5,", 'length: "${settings.lenght}",')
    with pytest.raises(ConfigError, match=r"settings.length: there is no settings.lenght. Did you mean 'length'"):
        load_config(write(text))


@pytest.mark.parametrize("reference", ["${ settings.length }", "${setting.length}", "${train_cfg.type}", "${oc.env:A}"])
def test_a_reference_of_another_form_is_refused(write, reference):
    path = write(SETTINGS.replace("${settings.length}", reference))
    with pytest.raises(ConfigError, match=r"run.yaml:5:21: '\$\{.*\}' refers to nothing. Write .*\$\{settings.NAME\}"):
        load_config(path)


def test_a_place_with_a_reference_to_no_setting_is_named_once(write):
    with pytest.raises(ConfigError, match=r"^train_dataloader.dataset.length: there is no settings.length") as caught:
        load_config(write('_base_: base.yaml\ntrain_dataloader: {dataset: {length: "${settings.length}"}}\n'))
    assert len(caught.value.problems) == 1
