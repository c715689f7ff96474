"""Transforms that would tear pixels, boxes and words apart."""

import pytest

from bus_toolkit.data.transforms.blind import refuse_blind_transforms
from bus_toolkit.errors import DataError


def test_a_transform_that_boxes_cannot_follow_is_refused_with_its_place():
    pipeline = [{"type": "LoadImage"}, {"type": "mmpretrain.RandomCrop", "crop_size": 32}]
    with pytest.raises(DataError, match=r"Captions\.pipeline\.1: RandomCrop moves pixels .* or leave the boxes out\."):
        refuse_blind_transforms(pipeline, "Captions", "leave the boxes out")


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
