"""Transforms that cannot follow boxes or words, for data sets that have them to refuse or to warn of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bus_toolkit.errors import DataError

_log = logging.getLogger(__name__)
_MIRROR = "RandomFlip"
# These move pixels but not boxes, or boxes but not the words left and right; with what to use in their place.
_BLIND_TRANSFORMS = {
    _MIRROR: "RandomFlipWithText",
    "RandomCrop": "RandomCropKeepNamed",
    "RandomResizedCrop": "RandomResizedCropWithBoxes",
    "RandomResizedCropAndInterpolationWithTwoPic": "RandomResizedCropWithBoxes",
    "EfficientNetRandomCrop": "RandomResizedCropWithBoxes",
    "RandAugment": "RandAugmentWithBoxes",
    "AutoAugment": "RandAugmentWithBoxes",
    "Albumentations": "RandAugmentWithBoxes",
    "Rotate": "RandAugmentWithBoxes with operations: [Rotate]",
    "Shear": "RandAugmentWithBoxes with operations: [ShearX, ShearY]",
    "Translate": "RandAugmentWithBoxes with operations: [TranslateX, TranslateY]",
    "CenterCrop": "Resize",
    "EfficientNetCenterCrop": "Resize",
    "ResizeEdge": "Resize",
}
_MIRRORS = frozenset({_MIRROR, "RandomFlipWithText"})
_MAY_LOSE_TARGETS = frozenset({"RandomResizedCropWithBoxes", "RandAugmentWithBoxes"})


def refuse_blind_transforms(pipeline: Sequence[Any], name: str, otherwise: str) -> None:
    """Refuse transforms after which pixels, boxes and words no longer match.

    ``otherwise`` says how data set ``name`` leaves out boxes.

    Raises:
        DataError: There is such a transform, also within another one such as ``RandomApply``.
    """
    for path, kind, _ in _transforms(pipeline, f"{name}.pipeline"):
        if kind in _BLIND_TRANSFORMS:
            raise DataError(
                f"{path}: {kind} moves pixels but not both boxes and words. Use {_BLIND_TRANSFORMS[kind]}, or "
                f"{otherwise}."
            )


def refuse_lost_targets(pipeline: Sequence[Any], name: str) -> None:
    """Refuse transforms of data set ``name`` that may push out of view the object that the text means.

    Raises:
        DataError: There is such a transform without ``keep_named: true``, also within another one.
    """
    for path, kind, transform in _transforms(pipeline, f"{name}.pipeline"):
        kept = transform.get("keep_named") if isinstance(transform, Mapping) else getattr(transform, "keep_named", None)
        if kind in _MAY_LOSE_TARGETS and not kept:
            raise DataError(
                f"{path}: {kind} may push the object that an expression means out of view, and then there is no "
                "answer. Add keep_named: true."
            )


def warn_of_mirrors(pipeline: Sequence[Any], name: str) -> None:
    """Warn of a transform that mirrors the images of data set ``name`` and leaves the words of their texts."""
    for path, kind, _ in _transforms(pipeline, f"{name}.pipeline"):
        if kind == _MIRROR:
            _log.warning(
                "%s: RandomFlip mirrors images and leaves the words left and right of their texts. Use "
                "RandomFlipWithText, unless no text has them.",
                path,
            )


def refuse_mirrors(pipeline: Sequence[Any], name: str) -> None:
    """Refuse transforms that mirror the images of data set ``name``, whose texts are then wrong.

    Raises:
        DataError: There is such a transform, also within another one.
    """
    for path, kind, _ in _transforms(pipeline, f"{name}.pipeline"):
        if kind in _MIRRORS:
            raise DataError(
                f"{path}: {kind} mirrors images, and their texts would be wrong: mirrored, a slash is a backslash. "
                "Leave it out."
            )


def _transforms(pipeline: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield path, class name and the transform itself, a config or a built one, of each and of those within it."""
    items = pipeline if isinstance(pipeline, list | tuple) else [pipeline]
    for place, transform in enumerate(items):
        here = f"{path}.{place}" if items is pipeline else path
        if isinstance(transform, list | tuple):
            yield from _transforms(transform, here)
            continue
        is_config = isinstance(transform, Mapping)
        kind = str(transform.get("type")).rsplit(".", 1)[-1] if is_config else type(transform).__name__
        yield here, kind, transform
        inner = transform.get("transforms") if is_config else getattr(transform, "transforms", None)
        # Names of operations, as in RandAugment's policies, are no transforms.
        if isinstance(inner, Mapping | list | tuple) and kind not in _BLIND_TRANSFORMS:
            yield from _transforms(inner, f"{here}.transforms")
