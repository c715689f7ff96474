"""Two jobs of a study do not draw different scenes into one folder."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.scene_folders import SceneFolders


def config(data_root: str = "data/needles", **scenes: Any) -> dict[str, Any]:
    task = {"type": "bus_toolkit.SceneTask", "data_root": data_root, "split": "train", "num_images": 8}
    inside = {**task, "family": "needles", "scenes": scenes, "reader": {}}
    return {"train_dataloader": {"dataset": {"type": "ConcatDataset", "datasets": [inside]}}}


def test_equal_scenes_are_shared_and_others_need_a_folder_of_their_own() -> None:
    folders = SceneFolders()
    folders.check(config(), "questions, full")
    folders.check(config(seed=0), "questions, TSPS")  # the default, written out
    folders.check(config("data/few", num_objects=[4, 6]), "few, full")
    with pytest.raises(
        ConfigError,
        match="^few, TSPS: its scenes would replace those of questions, full in data/needles/train_8: their settings "
        "differ. Give one of the two tasks a data_root of its own.$",
    ):
        folders.check(config(num_objects=[4, 6]), "few, TSPS")
