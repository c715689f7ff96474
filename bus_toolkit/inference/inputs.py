"""The inputs of a user: images as files or in memory, texts, and how the two are paired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.transforms.decode import decode_image
from bus_toolkit.errors import DataError, describe
from bus_toolkit.home import expand_home
from bus_toolkit.inference.pipeline import NamedImage
from bus_toolkit.inference.pixels import from_array, from_pillow

_A = TypeVar("_A")
_B = TypeVar("_B")
_KINDS = "a path, a PIL image, a NumPy array uint8 (H, W, 3) RGB or a torch tensor uint8 (3, H, W) RGB"


class ImageInput:
    """One image as it came in; it is decoded when it is asked for.

    Args:
        source: See ``as_images``.
        position: Its place in the list, from 0.

    Raises:
        DataError: Something else than an image, or a path without a file.
    """

    def __init__(self, source: Any, position: int) -> None:
        is_path = isinstance(source, str | Path)
        self.name = str(source) if is_path else f"image {position}"
        self._location = f"image {position} ({source})" if is_path else self.name
        self._source = expand_home(source) if is_path else source
        if is_path and not self._source.is_file():
            reason = "a folder" if self._source.is_dir() else "no such file"
            raise DataError(f"{self._location}: {reason}. Give the path of an image.")
        if not is_path and not _is_image(source):
            raise DataError(
                f"{self._location}: must be {_KINDS}, got {describe(source)}. Scale values to 0-255, and put several "
                "images in a list."
            )

    def read(self, max_pixels: int) -> NamedImage:
        """Return the pixels of an image of at most ``max_pixels``.

        Raises:
            DataError: The image cannot be decoded.
        """
        try:
            return NamedImage(self._pixels(max_pixels), self.name)
        except OSError as error:
            raise DataError(f"{self._location}: {error}. Repair it or leave it out.") from error

    def _pixels(self, max_pixels: int) -> np.ndarray:
        if isinstance(self._source, Path):
            return decode_image(self._source.read_bytes(), max_pixels=max_pixels)
        if isinstance(self._source, np.ndarray | torch.Tensor):
            return from_array(self._source)
        return from_pillow(self._source, max_pixels)


def as_images(images: Any) -> list[ImageInput]:
    """Return one or several images as a list.

    Allowed are a path (``str`` or ``Path``), a PIL image of any mode, a NumPy array uint8 (H, W, 3) and a torch tensor
    uint8 (3, H, W), channels red green blue; arrays may also have no or one channel (grey) or four (RGBA, laid on
    white).

    Raises:
        DataError: None at all, something else, or a path without a file.
    """
    given = list(images) if isinstance(images, list | tuple) else [images]
    if not given:
        raise DataError(f"images: needs at least one, got none. Give {_KINDS}, or a list of these.")
    return [ImageInput(source, position) for position, source in enumerate(given)]


def as_texts(texts: str | Sequence[str], name: str = "texts") -> list[str]:
    """Return one or several texts as a list.

    Raises:
        DataError: None at all, one that is no text, or an empty one.
    """
    given = [texts] if isinstance(texts, str) else list(texts)
    if not given:
        raise DataError(f"{name}: needs at least one, got none. Give a string, or a list of strings.")
    for position, text in enumerate(given):
        if not isinstance(text, str) or is_blank(text):
            raise DataError(f"{name}[{position}]: must be a string with at least one word, got {text!r}.")
    return given


def pair_up(images: list[_A], texts: list[_B], name: str = "texts") -> tuple[list[_A], list[_B]]:
    """Return images and texts of equal number: a single item is broadcast to all of the other.

    Raises:
        DataError: Unequal numbers, both above one.
    """
    if len(images) != len(texts) and 1 not in (len(images), len(texts)):
        raise DataError(
            f"images and {name}: must be equally many, or one image, or one text, got {len(images)} and "
            f"{len(texts)}. Repeat those that belong to several."
        )
    count = max(len(images), len(texts))
    return (images * count if len(images) == 1 else images), (texts * count if len(texts) == 1 else texts)


def _is_image(source: Any) -> bool:
    """Return whether it is a PIL image, or an array of 8 bits with one, three or four channels."""
    if not isinstance(source, np.ndarray | torch.Tensor):
        from PIL import Image

        return isinstance(source, Image.Image)
    if source.dtype not in (np.uint8, torch.uint8) or source.ndim not in (2, 3) or 0 in source.shape:
        return False
    return source.ndim == 2 or source.shape[0 if isinstance(source, torch.Tensor) else 2] in (1, 3, 4)
