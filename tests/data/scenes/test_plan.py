import pytest

from bus_toolkit.data.scenes.draw import draw_scene
from bus_toolkit.data.scenes.pictures import draw_to_files
from bus_toolkit.data.scenes.plan import plan_scenes, scene_at
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.streams import image_id
from bus_toolkit.errors import DataError

SETTINGS = SceneSettings()


def test_ids_of_splits_never_meet():
    assert image_id("train", 0) == 1
    assert len({image_id(split, 7) for split in ("train", "val", "test")}) == 3
    assert all(len(f"{image_id(split, 9_999_999):012d}") == 12 for split in ("train", "val", "test"))


def test_a_scene_does_not_depend_on_how_many_are_planned():
    assert plan_scenes(SETTINGS, "train", 3) == plan_scenes(SETTINGS, "train", 5)[:3]


def test_splits_and_seeds_have_other_scenes():
    assert scene_at(SETTINGS, "train", 0) != scene_at(SETTINGS, "test", 0)
    assert scene_at(SETTINGS, "train", 0) != scene_at(SceneSettings(seed=1), "train", 0)


def test_evaluation_scenes_have_one_caption_each_all_different():
    planned = plan_scenes(SETTINGS, "test", 100)
    texts = [caption.text for _, _, captions in planned for caption in captions]
    assert len(texts) == len(set(texts)) == 100


def test_several_processes_draw_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr("bus_toolkit.data.scenes.chunks._CHUNK", 3)
    results = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        planned = plan_scenes(SETTINGS, "train", 7, workers)
        pictures = draw_to_files(planned, draw_scene, SETTINGS, split="train", folder=folder, workers=workers)
        results.append((planned, pictures))
    assert results[0] == results[1]
    assert len(list((tmp_path / "2").iterdir())) == 7


def test_says_when_there_are_too_few_different_captions():
    narrow = SceneSettings(shapes=("circle",), colours=("red", "blue"), radii={"small": 7.0}, num_objects=(2, 2))
    with pytest.raises(DataError, match="of 50 test scenes can have a caption that fits no other one"):
        plan_scenes(narrow, "test", 50)
