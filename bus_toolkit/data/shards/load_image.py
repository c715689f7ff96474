"""An image from bytes that are already in memory."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from bus_toolkit.data.decode_image import MAX_PIXELS, decode_image
from bus_toolkit.data.load_image import check_max_pixels, with_image
from bus_toolkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageFromBytes(BaseTransform):
    """Decode ``img_bytes``, as ``LoadImage`` decodes the file ``img_path``, and check the boxes of the sample.

    Adds ``img`` uint8 (H, W, 3), blue green red, ``img_shape`` and ``ori_shape``; the bytes are dropped. Slot: first of
    the ``pipeline`` of a ``ShardDataset``.

    Args:
        max_pixels: Most pixels that the header of an image may claim, from 1 to 178,956,970.

    Raises:
        ConfigError: ``max_pixels`` out of range.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = check_max_pixels(max_pixels, "LoadImageFromBytes")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with its pixels.

        Raises:
            OSError: No image can be made of the bytes, or a box does not fit it.
        """
        return with_image(results, decode_image(results.pop("img_bytes"), max_pixels=self.max_pixels))
