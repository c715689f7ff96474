"""How a batch gets to the device: its images in one copy, its data samples not at all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from bus_toolkit.ops.to_device import to_device


def copy_images_only(preprocessor: Any) -> None:
    """Let mmpretrain's preprocessor of images and texts leave data samples on the CPU.

    It moves each tensor of each sample on its own, and waits for the device each time. What models read of the samples
    (ids, labels, boxes) they put together for the whole batch (``step.Batch``) and copy at once. Other preprocessors,
    and classes derived from it, stay as they are.
    """
    from mmpretrain.models.utils.data_preprocessor import MultiModalDataPreprocessor

    if type(preprocessor) is MultiModalDataPreprocessor:
        preprocessor.cast_data = partial(_images_only, preprocessor)


def _images_only(preprocessor: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the batch with its images on the device."""
    device = preprocessor.device
    return {key: to_device(value, device) if isinstance(value, Tensor) else value for key, value in data.items()}
