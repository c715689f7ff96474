"""Captions of needle scenes, for retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bus_toolkit.data.needles.scene import NeedleScene
from bus_toolkit.data.needles.settings import COLOURS, GLYPHS, NUM_NAMES, SHAPES, NeedleSettings
from bus_toolkit.data.scenes.streams import stream
from bus_toolkit.errors import DataError

_TRIES = 50


@dataclass(frozen=True)
class NeedleCaption:
    """A caption and the places of the objects that it names."""

    text: str
    named: tuple[int, ...]


def caption_of(scene: NeedleScene, named: Sequence[int]) -> NeedleCaption:
    """Return ``a COLOUR SHAPE with a INK GLYPH and ... on a BACKGROUND background``.

    Retrieval is the negative case of the study: the contrastive embedding of an image is made before any text is known,
    and any of the objects may be the one that a caption names, so that no selection by a text can help; and the
    background, which every patch shows, alone rules out five images of six.
    """
    parts = [f"a {scene.name(place)} with a {scene.ink_name(place)} {scene.glyph_name(place)}" for place in named]
    return NeedleCaption(f"{' and '.join(parts)} on a {scene.background_name} background", tuple(named))


def choose_captions(scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> list[NeedleCaption]:
    """Return captions for training, each of objects drawn for it."""
    return [caption_of(scene, _draw_named(scene, settings, rng)) for _ in range(settings.captions_per_image)]


def choose_unique_captions(
    numbered: Sequence[tuple[int, NeedleScene]], settings: NeedleSettings, split: str
) -> list[NeedleCaption]:
    """Return one caption a scene that is true of no other one of them.

    Raises:
        DataError: A scene has no such caption in 50 draws.
    """
    backgrounds = np.array([scene.background for _, scene in numbered])
    # Whether a scene has an object with that name and that mark.
    has = np.zeros((len(numbered), NUM_NAMES, len(COLOURS) * len(GLYPHS)), dtype=bool)
    for row, (_, scene) in enumerate(numbered):
        has[row, _name_code(scene), _mark_code(scene)] = True
    chosen = []
    for number, scene in numbered:
        rng = stream(settings, split, number, "text")
        for _ in range(_TRIES):
            named = _draw_named(scene, settings, rng)
            fits = has[:, _name_code(scene)[named], _mark_code(scene)[named]].all(axis=1)
            fits &= backgrounds == scene.background
            if fits.sum() == 1:
                chosen.append(caption_of(scene, named))
                break
        else:
            raise DataError(
                f"scenes: no caption of {settings.named_per_caption} objects fits scene {number} of {len(numbered)} "
                f"{split} scenes alone. Raise scenes.named_per_caption, or ask for fewer images."
            )
    return chosen


def _draw_named(scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> list[int]:
    named: list[int] = rng.permutation(scene.num_named)[: settings.named_per_caption].tolist()
    return named


def _name_code(scene: NeedleScene) -> np.ndarray:
    return scene.colour * len(SHAPES) + scene.shape


def _mark_code(scene: NeedleScene) -> np.ndarray:
    return scene.ink * len(GLYPHS) + scene.glyph
