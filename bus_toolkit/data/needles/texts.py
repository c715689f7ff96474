"""Questions and expressions about a needle scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bus_toolkit.data.needles.scene import NeedleScene
from bus_toolkit.data.needles.settings import NeedleSettings
from bus_toolkit.data.scenes.expressions import SceneExpression
from bus_toolkit.data.scenes.questions import SceneQuestion


def needle_questions(scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> list[SceneQuestion]:
    """Return the questions of a scene; those of a kind ask for different objects, each as likely as any other.

    ``attribute``: the colour of the mark of the object that is named, ``glyph``: its form. ``control`` asks for the
    background, which any patch answers: a selection can neither help nor hurt there.
    """
    questions = []
    for kind, ask in _KINDS.items():
        chosen = rng.permutation(scene.num_named)[: settings.questions(kind)]
        questions += [ask(scene, place) for place in chosen.tolist()]
    if settings.questions("control"):
        questions.append(SceneQuestion("what color is the background", scene.background_name, "control", ()))
    return questions


def needle_expressions(scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> list[SceneExpression]:
    """Return ``the COLOUR SHAPE`` of different objects, each as likely as any other."""
    chosen = rng.permutation(scene.num_named)[: settings.expressions_per_image]
    return [SceneExpression(f"the {scene.name(place)}", place) for place in chosen.tolist()]


def _attribute(scene: NeedleScene, place: int) -> SceneQuestion:
    text = f"what color is the mark on the {scene.name(place)}"
    return SceneQuestion(text, scene.ink_name(place), "attribute", (place,))


def _glyph(scene: NeedleScene, place: int) -> SceneQuestion:
    text = f"which sign is on the {scene.name(place)}"
    return SceneQuestion(text, scene.glyph_name(place), "glyph", (place,))


_KINDS: dict[str, Callable[[NeedleScene, int], SceneQuestion]] = {"attribute": _attribute, "glyph": _glyph}
