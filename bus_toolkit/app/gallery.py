"""The images that the app was started with: to choose from, and to search among."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.app.pictures import decoded, in_size, png_of_side
from bus_toolkit.errors import ConfigError
from bus_toolkit.inference import ImageIndex, Inferencer
from bus_toolkit.safe_text import one_line

MOST = 1_000
"""Images: a page that is looked at needs no more, and the start waits for each to be encoded (our choice)."""
_SIDE = 160


class Gallery:
    """Images by number; a request has no other name for one.

    Args:
        paths: Of images, none at all or up to ``MOST``.

    Attributes:
        names: The name of each file.

    Raises:
        ConfigError: There are more.
    """

    def __init__(self, paths: Sequence[str] = ()) -> None:
        if len(paths) > MOST:
            raise ConfigError(f"--images: the app shows at most {MOST:,}, got {len(paths):,}. Name fewer.")
        self._paths = [Path(path) for path in paths]
        self.names = [one_line(path.name) for path in self._paths]
        self.small = lru_cache(maxsize=MOST)(self._small)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._paths)

    def index(self, inferencer: Inferencer, size: tuple[int, int] | None) -> Any:
        """Return the images encoded, at the run's own keep ratio; ``None`` without any, or without a head for it.

        Args:
            inferencer: The model.
            size: Width and height that it must be given; ``None``: any.
        """
        if not self._paths or "index" not in inferencer.abilities:
            return None
        images: list[Any] = [str(path) for path in self._paths]
        if size is not None:
            images = [in_size(self.pixels(number), size) for number in range(len(self))]
        index: ImageIndex = inferencer.index(images)
        return index

    def pixels(self, number: int) -> np.ndarray:
        """Return an image as uint8 (H, W, 3), red green blue.

        Raises:
            DataError: Its file is not there any more, or cannot be decoded.
        """
        return decoded(self._paths[number].read_bytes, self.names[number])

    def _small(self, number: int) -> bytes:
        """Return an image as a PNG for a list of many."""
        return png_of_side(self.pixels(number), _SIDE)
