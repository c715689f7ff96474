"""Captions of a scene: an ordered pair of objects and the relation between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import RELATIONS

# The offset along the named axis is at least this many times the other one.
_DOMINANCE = 1.5


@dataclass(frozen=True)
class SceneCaption:
    """A caption and the places of the two objects it names in ``Scene.objects``."""

    text: str
    first: int
    second: int


def relation(a: SceneObject, b: SceneObject) -> str | None:
    """Return how ``a`` lies relative to ``b``, along the clearly longer axis; ``None`` on a diagonal."""
    dx, dy = b.x - a.x, b.y - a.y
    if abs(dx) >= _DOMINANCE * abs(dy):
        return RELATIONS[0] if dx > 0 else RELATIONS[1]
    if abs(dy) >= _DOMINANCE * abs(dx):
        return RELATIONS[2] if dy > 0 else RELATIONS[3]
    return None


def caption_text(a: SceneObject, word: str, b: SceneObject) -> str:
    """Return ``a SIZE COLOUR SHAPE RELATION a SIZE COLOUR SHAPE``."""
    return f"a {' '.join(a.words)} {word} a {' '.join(b.words)}"


def scene_captions(scene: Scene) -> list[SceneCaption]:
    """Return every caption that names two objects of the scene without ambiguity.

    Each object must be the only one with its size, colour and shape, and their relation must be clear.
    """
    counts: dict[tuple[str, str, str], int] = {}
    for item in scene.objects:
        counts[item.words] = counts.get(item.words, 0) + 1
    single = [i for i, item in enumerate(scene.objects) if counts[item.words] == 1]
    captions = []
    for i in single:
        for j in single:
            if i != j and (word := relation(scene.objects[i], scene.objects[j])):
                captions.append(SceneCaption(caption_text(scene.objects[i], word, scene.objects[j]), i, j))
    return captions


def scene_descriptions(scene: Scene) -> dict[str, list[int]]:
    """Return short descriptions, and the places of all objects of the scene that each of them fits.

    A description is a shape, alone or with the size or the colour or both before it.
    """
    places_of: dict[str, list[int]] = {}
    for place, item in enumerate(scene.objects):
        for text in (item.shape, f"{item.size} {item.shape}", f"{item.colour} {item.shape}", " ".join(item.words)):
            places_of.setdefault(text, []).append(place)
    return places_of


def statements(scene: Scene) -> set[str]:
    """Return every caption a reader might grant to the scene: diagonals count for both axes, doubled objects too."""
    texts = set()
    for a in scene.objects:
        for b in scene.objects:
            if a is not b:
                texts.add(caption_text(a, RELATIONS[0] if a.x < b.x else RELATIONS[1], b))
                texts.add(caption_text(a, RELATIONS[2] if a.y < b.y else RELATIONS[3], b))
    return texts


def choose_captions(scene: Scene, count: int, rng: np.random.Generator) -> list[SceneCaption]:
    """Return up to ``count`` captions of different ordered pairs."""
    options = scene_captions(scene)
    return [options[int(i)] for i in rng.permutation(len(options))[:count]]


def choose_unique_captions(scenes: Sequence[Scene]) -> list[SceneCaption | None]:
    """Return one caption a scene that could be said of no other of the scenes, or ``None`` where there is none."""
    holders: dict[str, int] = {}
    for scene in scenes:
        for text in statements(scene):
            holders[text] = holders.get(text, 0) + 1
    chosen: list[SceneCaption | None] = []
    for number, scene in enumerate(scenes):
        options = [c for c in scene_captions(scene) if holders[c.text] == 1]
        chosen.append(options[number % len(options)] if options else None)
    return chosen
