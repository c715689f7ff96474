"""The images of a predicted row, each with what was predicted of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

_OF_AN_IMAGE = ("kept", "scores", "kept_stages")


def seen_images(inputs: Any, row: int, sample: dict[str, Any]) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """Yield each image of a row and what was predicted of it; a loader gives the images of several a text as a list."""
    if isinstance(inputs, Tensor):
        yield inputs[row], sample
        return
    for place, images in enumerate(inputs):
        own = {name: sample[name][place] for name in _OF_AN_IMAGE if sample.get(name) is not None}
        yield images[row], {**sample, **own}
