"""Transforms that would tear pixels, boxes and words apart."""

import logging

import pytest

from bus_toolkit.data.transforms.blind import refuse_blind_transforms, refuse_lost_targets, warn_of_mirrors
from bus_toolkit.data.transforms.crops import RandomResizedCropWithBoxes
from bus_toolkit.errors import DataError


def test_a_transform_that_boxes_cannot_follow_is_refused_with_its_place():
    pipeline = [{"type": "LoadImage"}, {"type": "mmpretrain.RandomCrop", "crop_size": 32}]
    with pytest.raises(DataError, match=r"Captions\.pipeline\.1: RandomCrop moves pixels .* or leave the boxes out\."):
        refuse_blind_transforms(pipeline, "Captions", "leave the boxes out")


@pytest.mark.parametrize("kind", ["RandomResizedCrop", "RandAugment", "RandomFlip"])
def test_the_refusal_names_the_transform_to_use(kind):
    ours = {"RandomFlip": "RandomFlipWithText"}.get(kind, f"{kind}WithBoxes")
    with pytest.raises(DataError, match=rf"{kind} moves pixels .*\. Use {ours}, or leave them out\."):
        refuse_blind_transforms([{"type": f"mmpretrain.{kind}"}], "Captions", "leave them out")
    refuse_blind_transforms([{"type": ours}, {"type": f"bus_toolkit.{ours}"}], "Captions", "leave them out")


def test_the_object_that_an_expression_means_must_be_kept_in_view():
    pipeline = [{"type": "RandomApply", "transforms": [{"type": "RandAugmentWithBoxes"}]}]
    with pytest.raises(
        DataError, match=r"pipeline\.0\.transforms\.0: RandAugmentWithBoxes may push .* Add keep_named: true"
    ):
        refuse_lost_targets(pipeline, "ReferringExpressions")
    with pytest.raises(DataError, match=r"pipeline\.0: RandomResizedCropWithBoxes may push"):
        refuse_lost_targets([RandomResizedCropWithBoxes(32)], "ReferringExpressions")
    kept = [{"type": "RandAugmentWithBoxes", "keep_named": True}, RandomResizedCropWithBoxes(32, keep_named=True)]
    refuse_lost_targets(kept, "ReferringExpressions")


def test_transforms_that_move_boxes_and_words_pass():
    pipeline = [{"type": "LoadImage"}, {"type": "RandomFlipWithText"}, {"type": "mmpretrain.Resize", "scale": 32}]
    refuse_blind_transforms(pipeline, "Captions", "leave the boxes out")


def test_built_transforms_are_judged_by_their_class():
    class Rotate:
        def __call__(self, results):
            return results

    refuse_blind_transforms([len, {"type": "PackRegions"}], "Pairs", "leave out boxes")
    with pytest.raises(DataError, match="Pairs.pipeline.0: Rotate moves pixels"):
        refuse_blind_transforms([Rotate()], "Pairs", "leave out boxes")


@pytest.mark.parametrize(
    ("outer", "path"),
    [
        ({"type": "RandomApply", "transforms": {"type": "RandomFlip"}}, "0.transforms"),
        (
            {"type": "mmcv.RandomChoice", "transforms": [[{"type": "Resize"}, {"type": "RandomFlip"}]]},
            "0.transforms.0.1",
        ),
        ({"type": "Compose", "transforms": [{"type": "RandomApply", "transforms": [{"type": "RandomFlip"}]}]}, None),
    ],
)
def test_transforms_within_others_are_looked_at(outer, path):
    with pytest.raises(DataError, match=f"Pairs.pipeline.{path or '0.transforms.0.transforms.0'}: RandomFlip moves"):
        refuse_blind_transforms([outer], "Pairs", "leave out boxes")


def test_a_mirror_of_images_with_texts_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_mirrors([{"type": "LoadImage"}, {"type": "RandomFlipWithText"}], "Pairs")
        assert not caplog.text
        warn_of_mirrors([{"type": "LoadImage"}, {"type": "mmcv.RandomFlip", "prob": 0.5}], "Pairs")
    assert "Pairs.pipeline.1: RandomFlip mirrors images and leaves the words left and right" in caplog.text
