"""``bus-toolkit prepare``: each data set has its recipe, and openclipart its own arguments."""

from importlib import import_module

import pytest

from bus_toolkit.cli.prepare import COMMAND, DATA_SETS
from tests.data.preparation.tiny_clipart import drawings, package_members
from tests.data.preparation.tiny_deb import deb


@pytest.mark.parametrize("name", DATA_SETS)
def test_each_data_set_has_a_recipe_of_its_name_that_takes_the_default_options(name):
    data_set = DATA_SETS[name]
    recipe = getattr(import_module(f"bus_toolkit.data.preparation.{name}"), data_set.recipe)
    assert recipe.name == name and recipe.title.split()[0] in data_set.title
    for option in data_set.options:
        for choice in option.choices[:2]:
            chosen = {one.name: one.choices[0] for one in data_set.options} | {option.name: choice}
            assert recipe.plan(chosen).files


def test_openclipart_shows_counts_and_what_differs_from_the_known_release(tmp_path, capsys):
    for kind in ("svg", "png"):
        (tmp_path / f"openclipart-{kind}_1_all.deb").write_bytes(deb(package_members(drawings(12), kind)))
    flags = ["openclipart", "--source", str(tmp_path), "--out", str(tmp_path / "out"), "--test", "3", "--val", "2"]
    COMMAND.main(flags)
    out = capsys.readouterr().out
    assert "test: pairs: 3" in out and "train: pairs: 7" in out
    assert "warning: openclipart: SVG files: got 12 of 7,458" in out
    COMMAND.main(flags)
    assert "is whole, nothing to do" in capsys.readouterr().out


def test_an_unknown_data_set_is_refused(capsys):
    with pytest.raises(SystemExit):
        COMMAND.main(["imagenet"])
    assert "invalid choice: 'imagenet'" in capsys.readouterr().err
