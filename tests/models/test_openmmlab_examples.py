"""The examples in mmpretrain's own configs load and build, and the script beside them labels scenes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmpretrain.registry import MODELS

from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from tests.models.openmmlab_tiny import built

FOLDER = Path(__file__).parents[2] / "registry_configs" / "_openmmlab_"
CONFIGS = sorted(FOLDER.glob("vit_*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_example_loads_and_builds_and_opens_with_its_command(path: Path) -> None:
    config = Config.fromfile(path)
    assert built(config.model).head.num_classes == len(config.colours)
    assert "Command" in path.read_text().partition("_base_")[0]


def test_the_reduced_examples_are_the_plain_one_with_another_backbone() -> None:
    plain, *others = (Config.fromfile(FOLDER / f"vit_{name}scenes.py") for name in ("", "tome_", "evit_"))
    names = MODELS.build({"_scope_": "mmpretrain", **plain.model}).state_dict().keys()
    for other in others:
        model = MODELS.build({"_scope_": "mmpretrain", **other.model})
        assert {name.replace("backbone.vit.", "backbone.") for name in model.state_dict()} == names
        assert other.train_dataloader == plain.train_dataloader


def test_scenes_with_one_small_object_get_its_colour(tmp_path: Path) -> None:
    settings = SceneSettings(image_size=32, colours=("red", "green"))
    folder = prepare_scenes(tmp_path, "train", 30, settings, workers=1)
    count = runpy.run_path(str(FOLDER / "label_scenes.py"))["label"](folder)
    lines = [line.split() for line in (folder / "colours.txt").read_text().splitlines()]
    assert 0 < count == len(lines) < 30
    assert {label for _, label in lines} == {"0", "1"}
    assert all((folder / name).is_file() for name, _ in lines)
