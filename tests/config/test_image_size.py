"""What the data side of a config says about the image size."""

import pytest

from bus_toolkit.config.image_size import final_sizes, pixels, resize_data
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.transforms.crops import RandomCropKeepNamed


def loader(*transforms, **dataset):
    return {"dataset": {"type": "RegionCaptionDataset", "pipeline": list(transforms), **dataset}}


def resize(scale, kind="mmpretrain.Resize"):
    return {"type": kind, "scale": scale, "interpolation": "bicubic"}


@pytest.mark.parametrize("scale", [256, [256, 256]])
def test_a_resize_to_the_old_size_is_found_in_every_loader(scale):
    crop = {"type": RandomCropKeepNamed.__name__, "scale": [0.5, 1.0]}
    config = {"train_dataloader": loader(crop, resize(scale)), "val_dataloader": loader(resize(scale))}
    changes, notes = resize_data(config, (256, 256), (384, 384))
    assert changes == {
        "train_dataloader.dataset.pipeline.1.scale": [384, 384],
        "val_dataloader.dataset.pipeline.0.scale": [384, 384],
    }
    assert not notes


def test_sizes_are_width_and_height_there():
    config = {"test_dataloader": loader(resize([256, 64]))}
    assert resize_data(config, (64, 256), (128, 512))[0] == {"test_dataloader.dataset.pipeline.0.scale": [512, 128]}


def test_crops_of_mmpretrain_are_found_too():
    crops = [resize(256, "mmpretrain.RandomResizedCrop"), {"type": "mmpretrain.CenterCrop", "crop_size": 256}]
    changes, _ = resize_data({"train_dataloader": loader(*crops)}, (256, 256), (384, 384))
    assert set(changes) == {f"train_dataloader.dataset.pipeline.{end}" for end in ("0.scale", "1.crop_size")}


def test_the_last_transform_that_decides_gives_the_size_also_within_others():
    crop = {"type": "RandomResizedCropWithBoxes", "scale": 32}
    flip, augment, pack = ({"type": kind} for kind in ("RandomFlipWithText", "RandAugmentWithBoxes", "PackRegions"))
    both = {"type": "mmpretrain.ApplyToList", "transforms": [{"type": "LoadImage"}, crop, augment]}
    seldom = {"type": "RandomApply", "transforms": [{"type": "mmpretrain.ColorJitter"}]}

    def sizes(*transforms):
        return list(final_sizes({"train_dataloader": loader(*transforms)}))

    start = "train_dataloader.dataset.pipeline"
    assert sizes(crop, flip, augment, pack) == [(f"{start}.0.scale", (32, 32))]
    assert sizes(both, pack) == [(f"{start}.0.transforms.1.scale", (32, 32))]
    assert sizes(crop, seldom, pack) == [(f"{start}.0.scale", (32, 32))]
    assert sizes(crop, {**seldom, "transforms": [crop]}) == sizes(crop, {"type": "mmpretrain.Pad"}) == []


@pytest.mark.parametrize("transforms", [(), (resize([224, 224]),), (resize(256, "ResizeEdge"),)])
def test_a_loader_where_nothing_is_found_is_reported(transforms):
    config = {"train_dataloader": loader(*transforms), "val_dataloader": None}
    changes, notes = resize_data(config, (256, 256), (384, 384))
    assert changes == {}
    assert len(notes) == 1 and notes[0].startswith("train_dataloader: nothing") and "arrive at 384 px" in notes[0]


def test_scenes_are_drawn_larger_into_another_folder():
    settings = {"clutter": 3}
    config = {"train_dataloader": {"dataset": {"type": "bus_toolkit.SceneDataset", "data_root": "data/s"}}}
    config["train_dataloader"]["dataset"]["scenes"] = settings
    changes, notes = resize_data(config, (64, 64), (96, 96))
    assert changes == {
        "train_dataloader.dataset.scenes": {"clutter": 3, "image_size": 96},
        "train_dataloader.dataset.data_root": "data/s_96px",
    }
    assert SceneSettings.parse(changes["train_dataloader.dataset.scenes"]).image_size == 96
    assert not notes and settings == {"clutter": 3}
    assert resize_data(config, (64, 64), (64, 96))[0] == {}, "scenes are square"


def test_scenes_of_a_task_have_the_size_that_its_reader_does_not_change():
    inner = {"type": "mmpretrain.COCORetrieval", "pipeline": [{"type": "LoadImage"}]}

    def sizes(*transforms):
        reader = {"type": "RegionCaptionDataset", "dataset": inner, "pipeline": [*transforms, {"type": "PackRegions"}]}
        task = {"type": "SceneTask", "data_root": "data/n", "family": "needles", "reader": reader}
        texts = {"type": "TextsOfImage", "texts_per_image": 2, "dataset": task}
        return [size for _, size in final_sizes({"train_dataloader": {"dataset": texts}})]

    assert sizes({"type": "LoadImage"}) == [(112, 112)]
    assert sizes(resize(56)) == [(56, 56)] and sizes({"type": "mmpretrain.Pad"}) == []


def test_a_size_is_written_as_people_do():
    assert (pixels((384, 384)), pixels((64, 256))) == ("384", "64x256")


def test_needle_scenes_do_not_grow_with_the_picture():
    node = {"type": "SceneDataset", "family": "needles", "data_root": "d", "pipeline": [{"type": "PackRegions"}]}
    config = {"train_dataloader": {"dataset": node}}
    assert list(final_sizes(config)) == [("train_dataloader.dataset.scenes", (112, 112))]
    changes, notes = resize_data(config, (112, 112), (64, 64))
    assert changes == {} and len(notes) == 1
