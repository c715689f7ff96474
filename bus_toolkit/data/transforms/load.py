"""The start of a pipeline: an image file, or its bytes, to pixels, and the boxes checked against them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from typing_extensions import override

from bus_toolkit.data.transforms.decode import MAX_PIXELS, PIXELS_LIMIT, decode_image
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import TRANSFORMS


class _Decode(BaseTransform):
    """Decode an image and check the boxes of its sample; a subclass says which bytes.

    Args:
        max_pixels: Most pixels that the header of an image may claim, from 1 to 178,956,970.

    Raises:
        ConfigError: ``max_pixels`` out of range.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        if not 1 <= max_pixels <= PIXELS_LIMIT:
            raise ConfigError(
                f"{type(self).__name__}.max_pixels: must be from 1 to {PIXELS_LIMIT}, got {max_pixels}. Scale larger "
                "images."
            )
        self.max_pixels = max_pixels

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with its pixels.

        Raises:
            OSError: The image cannot be read or decoded, or a box does not fit it.
        """
        return with_image(results, decode_image(self.take_bytes(results), max_pixels=self.max_pixels))

    def take_bytes(self, results: dict[str, Any]) -> bytes:
        """Return the encoded image of a sample."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class LoadImage(_Decode):
    """Decode the file ``img_path``, as ``decode_image`` does, and check the boxes of the sample against it.

    Adds ``img`` uint8 (H, W, 3), blue green red, ``img_shape`` and ``ori_shape``. Slot: first of a ``pipeline``.

    Boxes (``gt_bboxes``) are those of the upright picture: if EXIF rotates it, boxes refer to the picture as OpenCV and
    browsers show it. An annotation file that states another width and height
    (``stated_size``) than the upright picture has is refused, since its boxes would then lie elsewhere.

    Args:
        max_pixels: Most pixels that the header of an image may claim, from 1 to 178,956,970.

    Raises:
        ConfigError: ``max_pixels`` out of range.
    """

    @override
    def take_bytes(self, results: dict[str, Any]) -> bytes:
        try:
            return Path(results["img_path"]).read_bytes()
        except OSError as error:
            # The path is added once, where the bad sample is reported.
            hint = ", and its path has a backslash; write / between folders" if "\\" in results["img_path"] else ""
            raise OSError(f"the image cannot be read: {error.strerror}{hint}") from error


@TRANSFORMS.register_module()
class LoadImageFromBytes(_Decode):
    """Decode ``img_bytes``, as ``LoadImage`` decodes the file ``img_path``, and check the boxes of the sample.

    Adds ``img`` uint8 (H, W, 3), blue green red, ``img_shape`` and ``ori_shape``; the bytes are dropped. Slot: first of
    the ``pipeline`` of a ``ShardDataset``.

    Args:
        max_pixels: Most pixels that the header of an image may claim, from 1 to 178,956,970.

    Raises:
        ConfigError: ``max_pixels`` out of range.
    """

    @override
    def take_bytes(self, results: dict[str, Any]) -> bytes:
        return results.pop("img_bytes")


def with_image(results: dict[str, Any], image: np.ndarray) -> dict[str, Any]:
    """Add an image uint8 (H, W, 3) to a sample, whose boxes must fit it.

    Raises:
        OSError: They do not.
    """
    shape = image.shape[:2]
    if "gt_bboxes" in results:
        _check_boxes(results, shape)
    results.update(img=image, img_shape=shape, ori_shape=shape)
    return results


def _check_boxes(results: Mapping[str, Any], shape: tuple[int, int]) -> None:
    (height, width), boxes = shape, results["gt_bboxes"]
    stated = results.get("stated_size")
    if stated is not None and tuple(stated) != (width, height):
        turned = " (turned: are its boxes from before the rotation in EXIF?)" if stated[::-1] == (width, height) else ""
        raise OSError(
            f"its boxes are for {stated[0]} x {stated[1]} pixels, the upright image has {width} x {height}{turned}"
        )
    if not np.isfinite(boxes).all():
        raise OSError(f"a box is not finite: {boxes[~np.isfinite(boxes).all(axis=1)][0].tolist()}")
    if boxes.size and boxes.max() <= 1.0 < min(height, width) and (boxes % 1.0).any():
        raise OSError(f"all boxes lie within its first pixel, as shares of its sides would: {boxes[0].tolist()}")
    outside = (boxes[:, 0] >= width) | (boxes[:, 1] >= height) | (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    if outside.any():
        raise OSError(f"a box lies outside the {width} x {height} pixels: {boxes[outside][0].round(2).tolist()}")
