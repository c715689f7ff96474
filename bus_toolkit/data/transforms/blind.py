"""Transforms that cannot follow boxes or words, for data sets that have them to refuse or to warn of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bus_toolkit.errors import DataError

_log = logging.getLogger(__name__)
_MIRROR = "RandomFlip"
# These move pixels but not boxes, or boxes but not the words left and right.
_BLIND_TRANSFORMS = frozenset(
    f"{_MIRROR} RandomCrop RandomResizedCrop RandomResizedCropAndInterpolationWithTwoPic EfficientNetRandomCrop "
    "CenterCrop EfficientNetCenterCrop ResizeEdge RandAugment AutoAugment Rotate Shear Translate Albumentations".split()
)


def refuse_blind_transforms(pipeline: Sequence[Any], name: str, otherwise: str) -> None:
    """Refuse transforms after which pixels, boxes and words no longer match.

    ``otherwise`` says how data set ``name`` leaves out boxes.

    Raises:
        DataError: There is such a transform, also within another one such as ``RandomApply``.
    """
    for path, kind in _kinds(pipeline, f"{name}.pipeline"):
        if kind in _BLIND_TRANSFORMS:
            raise DataError(
                f"{path}: {kind} moves pixels but not both boxes and words. "
                f"Use RandomFlipWithText, RandomCropKeepNamed or Resize, or {otherwise}."
            )


def warn_of_mirrors(pipeline: Sequence[Any], name: str) -> None:
    """Warn of a transform that mirrors the images of data set ``name`` and leaves the words of their texts."""
    for path, kind in _kinds(pipeline, f"{name}.pipeline"):
        if kind == _MIRROR:
            _log.warning(
                "%s: RandomFlip mirrors images and leaves the words left and right of their texts. Use "
                "RandomFlipWithText, unless no text has them.",
                path,
            )


def _kinds(pipeline: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and class name of each transform, configs or built ones, and of those within it."""
    items = pipeline if isinstance(pipeline, list | tuple) else [pipeline]
    for place, transform in enumerate(items):
        here = f"{path}.{place}" if items is pipeline else path
        if isinstance(transform, list | tuple):
            yield from _kinds(transform, here)
            continue
        is_config = isinstance(transform, Mapping)
        kind = str(transform.get("type")).rsplit(".", 1)[-1] if is_config else type(transform).__name__
        yield here, kind
        inner = transform.get("transforms") if is_config else getattr(transform, "transforms", None)
        # Names of operations, as in RandAugment's policies, are no transforms.
        if isinstance(inner, Mapping | list | tuple) and kind not in _BLIND_TRANSFORMS:
            yield from _kinds(inner, f"{here}.transforms")
