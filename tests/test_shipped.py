"""Configs by name, wherever the toolkit is installed and whatever the current folder is."""

from pathlib import Path

import pytest

import bus_toolkit
from bus_toolkit import shipped
from bus_toolkit.config import load_config
from bus_toolkit.config.files import find_config
from bus_toolkit.errors import ConfigError

FOLDER = Path(__file__).parents[1] / "registry_configs"
DEMO = "bus/bus_scenes_tiny"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Be in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_is_that_of_the_folder_without_pieces_and_studies():
    names = bus_toolkit.list_configs()
    assert names == sorted(names) and DEMO in names
    files = (path for path in FOLDER.glob("*/*.yaml") if path.parent.name[0] != "_")
    assert set(names) == {f"{path.parent.name}/{path.stem}" for path in files}


def test_a_name_loads_what_its_file_loads():
    by_name, by_path = load_config(DEMO), load_config(FOLDER / f"{DEMO}.yaml")
    assert by_name.to_dict() == by_path.to_dict()
    assert by_name.filename == by_path.filename


def test_a_file_that_is_there_goes_before_a_name(elsewhere):
    (elsewhere / "bus").mkdir()
    assert find_config(DEMO) == FOLDER / f"{DEMO}.yaml"
    (elsewhere / DEMO).write_text("")
    assert find_config(DEMO) == Path(DEMO)


def test_a_base_may_be_a_name_where_no_such_file_is_beside(elsewhere):
    (elsewhere / "run.yaml").write_text(f"_base_: [{DEMO}, _base_/schedule_small]\ntrain_cfg: {{max_epochs: 7}}")
    cfg = load_config("run.yaml")
    assert cfg.train_cfg.max_epochs == 7 and cfg.model == load_config(DEMO).model
    (elsewhere / "bus").mkdir()
    (elsewhere / DEMO).write_text("model: [circle]")
    assert find_config(DEMO, elsewhere / "run.yaml") == elsewhere / DEMO


@pytest.mark.parametrize(
    "mistyped", ["bus/bus_scene_tiny", "bus_scenes_tiny", f"{DEMO}.yaml", f"registry_configs/{DEMO}.yaml", f"/x/{DEMO}"]
)
def test_a_mistyped_name_reports_the_nearest(mistyped):
    with pytest.raises(ConfigError, match=rf"^{mistyped}: no such config file. Nearest names: {DEMO}, .*`bus-toolkit"):
        load_config(mistyped)


@pytest.mark.parametrize("name", ["", "bus", "../tests/config", "bus/../bus/bus_scenes_tiny", "bus/*", "README"])
def test_only_the_names_of_yamls_in_its_folders_are_found(name):
    assert shipped.find_shipped(name) is None


def test_the_folder_is_inside_an_installed_package_and_beside_a_checkout(elsewhere, monkeypatch):
    monkeypatch.setattr(shipped, "_PACKAGE", elsewhere / "bus_toolkit")
    (elsewhere / "registry_configs" / "mine").mkdir(parents=True)
    (elsewhere / "registry_configs" / "mine" / "checkout.yaml").write_text("")
    assert shipped.list_configs() == ["mine/checkout"]
    (elsewhere / "bus_toolkit" / "registry_configs" / "mine").mkdir(parents=True)
    (elsewhere / "bus_toolkit" / "registry_configs" / "mine" / "wheel.yaml").write_text("")
    assert shipped.list_configs() == ["mine/wheel"]
