"""Transforms that cannot follow boxes or words, for data sets that have boxes to refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bus_toolkit.errors import DataError

# These move pixels but not boxes, or boxes but not the words left and right.
_BLIND_TRANSFORMS = frozenset(
    "RandomFlip RandomCrop RandomResizedCrop RandomResizedCropAndInterpolationWithTwoPic EfficientNetRandomCrop "
    "CenterCrop EfficientNetCenterCrop ResizeEdge RandAugment AutoAugment Rotate Shear Translate Albumentations".split()
)


def refuse_blind_transforms(
    pipeline: Sequence[Mapping[str, Any] | Callable[..., Any]], name: str, otherwise: str
) -> None:
    """Refuse transforms after which pixels, boxes and words no longer match.

    ``otherwise`` says how data set ``name`` leaves out boxes.

    Raises:
        DataError: There is such a transform.
    """
    for place, transform in enumerate(pipeline):
        # A pipeline may also hold built transforms.
        kind = str(transform["type"]).rsplit(".", 1)[-1] if isinstance(transform, Mapping) else type(transform).__name__
        if kind in _BLIND_TRANSFORMS:
            raise DataError(
                f"{name}.pipeline.{place}: {kind} moves pixels but not both boxes and words. "
                f"Use RandomFlipWithText, RandomCropKeepNamed or Resize, or {otherwise}."
            )
