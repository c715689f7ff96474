"""Which transforms of a config are used, and which configs cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.inference.pipeline import ImagePipeline, NamedImage

LOAD, PACK = {"type": "LoadImage"}, {"type": "bus_toolkit.PackRegions"}
RESIZE = {"type": "mmpretrain.Resize", "scale": [32, 16]}


def config(*pipeline, loader="test_dataloader", **dataset):
    return {loader: {"dataset": {"type": "SceneDataset", "pipeline": list(pipeline), **dataset}}}


def grey(height, width):
    return NamedImage(np.full((height, width, 3), 90, np.uint8), "a.png")


def test_a_batch_is_what_a_loader_gives():
    pipeline = ImagePipeline(config(LOAD, RESIZE, PACK), (16, 32))
    batch = pipeline.batch([grey(40, 50), grey(64, 64)], ["a dog", "a cat"], 7)
    assert batch["inputs"].shape == (2, 3, 16, 32)
    first, second = batch["data_samples"]
    assert (first.text, first.image_id, first.ori_shape, first.img_path) == ("a dog", 7, (40, 50), "a.png")
    assert (second.text, second.image_id, second.ori_shape) == ("a cat", 8, (64, 64))


def test_a_step_that_reads_the_answer_is_left_out():
    label = {"type": "bus_toolkit.AnswerLabel", "answers_file": "{folder}/answers.txt"}
    batch = ImagePipeline(config(LOAD, label, PACK), (8, 8)).batch([grey(8, 8)], ["what is it"])
    assert "gt_label" not in batch["data_samples"][0]


def test_the_pipeline_is_found_within_other_data_sets_and_the_test_goes_first():
    nested = {
        "test_dataloader": {
            "dataset": {"type": "CaptionedImages", "dataset": config(LOAD, PACK)["test_dataloader"]["dataset"]}
        }
    }
    assert ImagePipeline(nested, (8, 8)).location == "test_dataloader.dataset.dataset.pipeline"
    both = config(LOAD, PACK) | config(LOAD, RESIZE, PACK, loader="val_dataloader")
    assert ImagePipeline(both, (8, 8)).location == "test_dataloader.dataset.pipeline"
    only = config(LOAD, PACK, loader="val_dataloader") | {"test_dataloader": None}
    assert ImagePipeline(only, (8, 8)).location == "val_dataloader.dataset.pipeline"


def test_several_pipelines_must_agree():
    def parts(*pipelines):
        return {"test_dataloader": {"dataset": {"sources": {str(i): {"pipeline": p} for i, p in enumerate(pipelines)}}}}

    assert (
        ImagePipeline(parts([LOAD, PACK], [LOAD, PACK]), (8, 8)).location
        == "test_dataloader.dataset.sources.0.pipeline"
    )
    with pytest.raises(ConfigError, match=r"one image needs one pipeline.*sources.0.pipeline, .*sources.1.pipeline"):
        ImagePipeline(parts([LOAD, PACK], [LOAD, RESIZE, PACK]), (8, 8))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({}, "test_dataloader and val_dataloader: one of them must have a dataset with a pipeline"),
        (
            config({"type": "LoadTwoImages"}, PACK),
            r"test_dataloader.dataset.pipeline: must start with one of",
        ),
        (config(LOAD), "and end by packing, got LoadImage"),
        (config({**LOAD, "color_type": "grayscale"}, PACK), r"pipeline.0: .*three colours here, got {'color_type'"),
    ],
)
def test_configs_that_are_of_no_use_are_reported(cfg, message):
    with pytest.raises(ConfigError, match=message):
        ImagePipeline(cfg, (8, 8))


def test_the_limit_of_pixels_is_that_of_the_config():
    assert ImagePipeline(config({**LOAD, "max_pixels": 99}, PACK), (8, 8)).max_pixels == 99


def test_an_image_of_another_size_is_reported_with_an_option_that_helps():
    pipeline = ImagePipeline(config(LOAD, PACK), (16, 32))
    with pytest.raises(DataError, match="a.png: leaves .* as 50 x 40 px, and the model takes 32 x 16") as caught:
        pipeline.batch([grey(40, 50)], ["a dog"])
    option = str(caught.value).split("'")[1]
    from bus_toolkit.config.overrides import apply_overrides, parse_overrides

    helped = config(LOAD, PACK)
    assert apply_overrides(helped, parse_overrides([option])) == []
    assert ImagePipeline(helped, (16, 32)).batch([grey(40, 50)], ["a dog"])["inputs"].shape == (1, 3, 16, 32)


def test_boxes_come_back_only_through_what_shows_the_whole_image():
    crop = {"type": "mmpretrain.CenterCrop", "crop_size": 16}
    with pytest.raises(
        ConfigError, match="only through Resize, ResizeAndPad, ResizeEdge, got CenterCrop. Take these out"
    ):
        ImagePipeline(config(LOAD, crop, PACK), (16, 16)).check_boxes()
    pipeline = ImagePipeline(config(LOAD, RESIZE, PACK), (16, 32))
    pipeline.check_boxes()
    # 100 x 80 px in, 32 x 16 px read: factors 3.125 across, 5 down.
    assert pipeline.original_box([8.0, -2.0, 40.0, 4.0], (80, 100)) == [25.0, 0.0, 100.0, 20.0]
    # 100 x 50 px in the middle of 20 x 20 px read: 5 rows above it, factor 5.
    padded = ImagePipeline(config(LOAD, {"type": "bus_toolkit.ResizeAndPad", "scale": 20}, PACK), (20, 20))
    padded.check_boxes()
    assert padded.original_box([2.0, 4.0, 30.0, 10.0], (50, 100)) == [10.0, 0.0, 100.0, 25.0]


def test_an_image_that_a_transform_cannot_use_is_reported(monkeypatch):
    pipeline = ImagePipeline(config(LOAD, RESIZE, PACK), (16, 32))
    monkeypatch.setattr(type(pipeline._transforms[0]), "transform", lambda self, sample: None)
    with pytest.raises(DataError, match="a.png: Resize of test_dataloader.dataset.pipeline could not use it"):
        pipeline.batch([grey(40, 50)], ["a dog"])
