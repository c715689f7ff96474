"""Which images keep their boxes where a training is to see those of few images alone."""

from __future__ import annotations

import hashlib

from bus_toolkit.errors import DataError


class BoxShare:
    """The image ids of a fixed pseudo-random share of all images.

    Args:
        fraction: The share, in [0, 1].
        seed: Seed of the choice.
        name: The data set, for messages.

    Raises:
        DataError: A share outside [0, 1].
    """

    def __init__(self, fraction: float, seed: int, name: str) -> None:
        if not 0.0 <= fraction <= 1.0:
            raise DataError(f"{name}.box_fraction: must be in [0, 1], got {fraction}.")
        self.fraction = fraction
        self.seed = seed

    def __contains__(self, image_key: object) -> bool:
        # From the id alone, so that the same images keep their boxes in every process and in every order of the file.
        digest = hashlib.sha256(f"{self.seed}:{image_key}".encode()).digest()
        return int.from_bytes(digest[:7], "big") < self.fraction * 2**56
