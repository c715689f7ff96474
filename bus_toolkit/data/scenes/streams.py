"""Which picture is which, and the random numbers that belong to it alone."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from bus_toolkit.data.scenes.generator_settings import GeneratorSettings

SPLITS = ("train", "val", "test")
Purpose = Literal["scene", "text", "picture", "questions", "expressions", "statements"]

# Image ids of the splits never meet, whatever their sizes; they fit the 12 digits of COCO's file names.
_ID_STEP = 100_000_000_000


def image_id(split: str, number: int) -> int:
    """Return the id of picture ``number`` (from 0) of a split."""
    return SPLITS.index(split) * _ID_STEP + number + 1


def stream(settings: GeneratorSettings, split: str, number: int, purpose: Purpose) -> np.random.Generator:
    """Return a random stream of its own for each picture and purpose: draws for one purpose change no other."""
    return np.random.default_rng([settings.seed, SPLITS.index(split), number, get_args(Purpose).index(purpose)])
