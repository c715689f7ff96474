"""One picture for several samples that differ in their texts: what a pipeline does to pixels, boxes and words.

Pixels are changed once, for all texts together; what may read or change words is done for each text, with the same
random numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Any, NamedTuple

import mmcv.transforms
import numpy as np
import torch
from torch import Tensor

from bus_toolkit.data.datasets.bad_samples import LoadingError
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.datasets.own_generators import generators_in, reseed
from bus_toolkit.data.transforms.colours import ColourEnhance, ColourJitter
from bus_toolkit.data.transforms.crops import RandomCropKeepNamed, RandomResizedCropWithBoxes
from bus_toolkit.data.transforms.load import LoadImage
from bus_toolkit.data.transforms.pad import ResizeAndPad
from bus_toolkit.data.transforms.rand_augment import RandAugmentWithBoxes
from bus_toolkit.draws import seed_cpu_generators
from bus_toolkit.errors import describe

# They see pixels and boxes alone, so that they do the same for every text; a subclass may read more.
_BLIND_TO_WORDS = (
    LoadImage,
    RandomCropKeepNamed,
    RandomResizedCropWithBoxes,
    RandAugmentWithBoxes,
    ResizeAndPad,
    ColourJitter,
    ColourEnhance,
    mmcv.transforms.Resize,
)
_BOXES = ("gt_bboxes", "named")


class TextsWithPicture(NamedTuple):
    """Several packed texts of one picture.

    Attributes:
        inputs: The picture, uint8 (3, H, W).
        data_samples: A data sample each text.
    """

    inputs: Any
    data_samples: list[Any]


def with_one_picture(reader: SampleDataset, infos: Sequence[Mapping[str, Any]]) -> TextsWithPicture:
    """Return samples of one image, each through the pipeline of its data set, as they go with one picture.

    While pixels are changed, every text brings its boxes: a crop that keeps the named objects keeps those of all
    texts. The last transform, which packs, sees those of its own text again.

    Args:
        reader: The data set.
        infos: The samples as they enter the pipeline, at least one.

    Raises:
        BadSample: The image or a text cannot be used.
        LoadingError: A transform changes the pixels in another way for another text, or the boxes' number; or the
            pipeline does not pack.
    """
    pipeline = list(reader.pipeline)
    once = list(takewhile(lambda transform: type(transform) in _BLIND_TO_WORDS, pipeline))
    rest = pipeline[len(once) :]
    start = {key: value for key, value in infos[0].items() if key not in _BOXES}
    seen = reader.transformed({**start, **_all_boxes(infos)}, once)
    picture = {key: value for key, value in seen.items() if value is not start.get(key)}
    own, seed = generators_in(rest), int(np.random.randint(2**31))
    ends = list(accumulate((len(info.get("gt_bboxes", ())) for info in infos), initial=0))
    packed = []
    for info, first, end in zip(infos, ends, ends[1:], strict=False):
        seed_cpu_generators(seed)
        reseed(own, seed)
        # Copies: a transform may write into its sample.
        sample = reader.transformed({**info, **copy.deepcopy(picture)}, rest[:-1])
        _give_own_boxes(sample, info, slice(first, end), ends[-1], reader)
        packed.append(reader.transformed(sample, rest[-1:]))
    _refuse_two_pictures(packed, rest, reader)
    return TextsWithPicture(packed[0]["inputs"], [one["data_samples"] for one in packed])


def _all_boxes(infos: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the boxes of all samples, and which of them any text names; nothing where none has boxes."""
    boxed = [info for info in infos if "gt_bboxes" in info]
    return {key: np.concatenate([info[key] for info in boxed]) for key in _BOXES} if boxed else {}


def _give_own_boxes(
    sample: dict[str, Any], info: Mapping[str, Any], own: slice, count: int, reader: SampleDataset
) -> None:
    """Leave a text the boxes that are its own, of the ``count`` of all texts."""
    if "gt_bboxes" not in info:
        for key in _BOXES:
            sample.pop(key, None)
        return
    if len(sample["gt_bboxes"]) != count:
        raise LoadingError(
            f"{type(reader).__name__}.pipeline: must leave boxes out of view where they are, for several texts an "
            f"image, got {len(sample['gt_bboxes'])} of {count}. Let PackRegions drop them."
        )
    sample.update({key: sample[key][own] for key in _BOXES})


def _refuse_two_pictures(packed: Sequence[Any], transforms: Sequence[Any], reader: SampleDataset) -> None:
    if not all(isinstance(one, Mapping) and {"inputs", "data_samples"} <= set(one) for one in packed):
        last = type(reader.pipeline[-1]).__name__ if reader.pipeline else "nothing"
        raise LoadingError(
            f"{type(reader).__name__}.pipeline: must end by packing, got {last} at its end. Add {{type: PackRegions}}."
        )
    first = packed[0]["inputs"]
    if not isinstance(first, Tensor):
        raise LoadingError(
            f"{type(reader).__name__}: several texts share one image, got samples of {describe(first)}. Use a data set "
            "with one image a text."
        )
    if not all(torch.equal(one["inputs"], first) for one in packed[1:]):
        names = ", ".join(type(transform).__name__ for transform in transforms)
        raise LoadingError(
            f"{type(reader).__name__}.pipeline: must change the pixels alike for all texts of an image, got two "
            f"pictures after {names}. A transform of yours that draws numbers takes them from a global generator, and "
            "decides by nothing in the text."
        )
