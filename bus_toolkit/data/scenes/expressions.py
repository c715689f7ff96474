"""Referring expressions: words that fit exactly one object of a scene, in RefCOCO's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bus_toolkit.data.scenes.captions import relation, scene_descriptions
from bus_toolkit.data.scenes.plan import PlannedScene
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import RELATIONS, SceneSettings
from bus_toolkit.data.scenes.streams import image_id, stream

# Relational expressions of a scene at most, each of another object.
_MOST_RELATIONAL = 3


@dataclass(frozen=True)
class SceneExpression:
    """An expression, and the place of its object in ``Scene.objects``."""

    text: str
    target: int


def attribute_expressions(scene: Scene) -> list[SceneExpression]:
    """Return ``the [SIZE] [COLOUR] SHAPE`` for every such description that fits one object alone."""
    return [
        SceneExpression(f"the {text}", places[0])
        for text, places in scene_descriptions(scene).items()
        if len(places) == 1
    ]


def relational_expressions(scene: Scene) -> list[SceneExpression]:
    """Return ``the DESCRIPTION RELATION the DESCRIPTION`` where only the relation identifies the target.

    The first description fits several objects, the second one exactly one. The relation of the target is clear, and
    no other object that the first description fits could be said to be in that relation.
    """
    descriptions = scene_descriptions(scene)
    anchors = [(text, places[0]) for text, places in descriptions.items() if len(places) == 1]
    expressions = []
    for text, places in descriptions.items():
        for anchor_text, anchor in anchors if len(places) > 1 else ():
            other = scene.objects[anchor]
            candidates = [place for place in places if place != anchor]
            for target in candidates:
                word = relation(scene.objects[target], other)
                granted = [place for place in candidates if word in granted_relations(scene.objects[place], other)]
                if granted == [target]:
                    expressions.append(SceneExpression(f"the {text} {word} the {anchor_text}", target))
    return expressions


def granted_relations(a: SceneObject, b: SceneObject) -> tuple[str, str]:
    """Return how a reader might say where ``a`` is relative to ``b``: on a diagonal both axes count."""
    return (
        RELATIONS[0] if a.x < b.x else RELATIONS[1],
        RELATIONS[2] if a.y < b.y else RELATIONS[3],
    )


def choose_expressions(scene: Scene, most_relational: int, rng: np.random.Generator) -> list[SceneExpression]:
    """Return relational expressions and as many of attributes alone, at least one; of a kind each of another object.

    So the easy scenes give 40 expressions with a relation to 60 without, although every second scene leaves nothing for
    a relation to decide.
    """
    relational = _of_different_targets(relational_expressions(scene), most_relational, rng)
    return [*_of_different_targets(attribute_expressions(scene), max(1, len(relational)), rng), *relational]


def _of_different_targets(
    options: Sequence[SceneExpression], count: int, rng: np.random.Generator
) -> list[SceneExpression]:
    of_target: dict[int, SceneExpression] = {}
    for place in rng.permutation(len(options)):
        of_target.setdefault(options[int(place)].target, options[int(place)])
    return list(of_target.values())[:count]


def expression_files(split: str, planned: Sequence[PlannedScene], settings: SceneSettings) -> dict[str, Any]:
    """Return ``refs_<split>.json`` of the scenes of a split."""
    expressed = (
        (
            image_id(split, number),
            len(scene.objects),
            choose_expressions(scene, _MOST_RELATIONAL, stream(settings, split, number, "expressions")),
        )
        for number, scene, _ in planned
    )
    return reference_files(split, expressed)


def reference_files(split: str, expressed: Iterable[tuple[int, int, Sequence[SceneExpression]]]) -> dict[str, Any]:
    """Return ``refs_<split>.json``: a list of references, each an object and the sentences that mean it.

    The keys are RefCOCO's (lichengunc/refer: refer.py): ``ref_id``, ``image_id``, ``ann_id`` (an instance of
    ``instances_<split>.json``), ``split`` and ``sentences`` of ``sent_id`` and ``sent``.

    Args:
        split: Name of the split.
        expressed: Image id, number of objects and expressions of each scene, in the order of the instances.
    """
    refs: list[dict[str, Any]] = []
    first_instance, num_sentences = 1, 0
    for image, num_objects, expressions in expressed:
        of_target: dict[int, list[str]] = {}
        for expression in expressions:
            of_target.setdefault(expression.target, []).append(expression.text)
        for target, texts in sorted(of_target.items()):
            sentences = [{"sent_id": num_sentences + k + 1, "sent": text} for k, text in enumerate(texts)]
            num_sentences += len(sentences)
            refs.append(
                {
                    "ref_id": len(refs) + 1,
                    "image_id": image,
                    "ann_id": first_instance + target,
                    "split": split,
                    "sentences": sentences,
                }
            )
        first_instance += num_objects
    return {f"refs_{split}.json": refs}
