"""An image from bytes that are already in memory."""

from __future__ import annotations

from typing import Any

import mmcv
from mmcv.transforms import BaseTransform

from bus_toolkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageFromBytes(BaseTransform):
    """Decode ``img_bytes``, as mmcv's ``LoadImageFromFile`` decodes the file ``img_path``.

    Adds ``img`` uint8 (H, W, 3), blue green red, ``img_shape`` and ``ori_shape``; the bytes are dropped. Slot: first of
    the ``pipeline`` of a ``ShardDataset``.

    Args:
        imdecode_backend: ``cv2`` or another decoder of ``mmcv.imfrombytes``.
    """

    def __init__(self, imdecode_backend: str = "cv2") -> None:
        self.imdecode_backend = imdecode_backend

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the sample with its pixels.

        Raises:
            OSError: No image can be made of the bytes.
        """
        data = results.pop("img_bytes")
        if not data:
            raise OSError("the image has 0 bytes")
        image = mmcv.imfrombytes(data, flag="color", backend=self.imdecode_backend)
        if image is None:
            raise OSError(f"the image cannot be decoded ({len(data)} bytes)")
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results
