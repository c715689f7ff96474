"""Statements about two scenes (as in NLVR2), true or false, and about one scene (as in SNLI-VE), of three kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bus_toolkit.data.scenes.captions import caption_text, relation, scene_captions, statements
from bus_toolkit.data.scenes.plan import PlannedScene
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import RELATIONS, SceneSettings
from bus_toolkit.data.scenes.streams import image_id, stream

Judgement = Literal["entailment", "neutral", "contradiction"]
PairKind = Callable[[Scene, Scene], Iterator[tuple[str, bool]]]

PER_SCENE = 4
_SIDES = ("left", "right")


@dataclass(frozen=True)
class PairStatement:
    """A sentence about a left and a right scene, and whether it is true."""

    text: str
    truth: bool


def statement_files(split: str, planned: Sequence[PlannedScene], settings: SceneSettings) -> dict[str, Any]:
    """Return ``statements_<split>.jsonl`` in NLVR2's form and ``entailment_<split>.jsonl`` in SNLI-VE's.

    NLVR2 names its images by the identifier; ours are named outright (``images``).
    """
    pairs, judged = [], []
    for number, scene, _ in planned:
        rng = stream(settings, split, number, "statements")
        other_number, other, _ = planned[int(rng.integers(len(planned)))]
        names = [f"{image_id(split, n):012d}.{settings.image_format}" for n in (number, other_number)]
        for count, statement in enumerate(pair_statements(scene, other, PER_SCENE, rng)):
            identifier = f"{split}-{number}-{other_number}-{count}"
            truth = str(statement.truth)
            pairs.append({"identifier": identifier, "sentence": statement.text, "label": truth, "images": names})
        for count, (text, label) in enumerate(judgements(scene, rng)):
            stem = names[0].rsplit(".", 1)[0]
            row = {"pairID": f"{stem}#{count}", "Flickr30K_ID": stem, "sentence2": text, "gold_label": label}
            judged.append(row)
    return {f"statements_{split}.jsonl": pairs, f"entailment_{split}.jsonl": judged}


# --- two scenes ---


def pair_statements(left: Scene, right: Scene, count: int, rng: np.random.Generator) -> list[PairStatement]:
    """Return ``count`` different statements, true or false by a coin.

    A kind of statement is used only where it could be both true and false of the two scenes, so that neither the words
    nor their order reveal the answer. A false one is a near miss: it names objects of the other image, or attributes of
    an image in another combination. Fewer are returned if two scenes do not give so many.
    """
    chosen: dict[str, PairStatement] = {}
    for _ in range(count):
        truth = bool(rng.integers(2))
        for kind in rng.permutation(len(_KINDS)):
            options = dict(_KINDS[kind](left, right))
            texts = [text for text, true in options.items() if true == truth and text not in chosen]
            if texts and len(set(options.values())) == 2:
                text = texts[int(rng.integers(len(texts)))]
                chosen[text] = PairStatement(text, truth)
                break
    return list(chosen.values())


def _holds(left: Scene, right: Scene) -> Iterator[tuple[str, bool]]:
    """``the left image contains a red circle``: the named object is in one of the images at least."""
    seen = [{(o.colour, o.shape) for o in scene.objects} for scene in (left, right)]
    for colour, shape in sorted(_near(seen[0] | seen[1])):
        for side, there in zip(_SIDES, seen, strict=True):
            yield f"the {side} image contains a {colour} {shape}", (colour, shape) in there


def _each(left: Scene, right: Scene) -> Iterator[tuple[str, bool]]:
    """``each image contains a star``: the statement is true of one image at least."""
    for name in ("shape", "colour"):
        seen = [{getattr(o, name) for o in scene.objects} for scene in (left, right)]
        for word in sorted(seen[0] | seen[1]):
            said = f"a {word}" if name == "shape" else f"a {word} object"
            yield f"each image contains {said}", word in seen[0] & seen[1]


def _more(left: Scene, right: Scene) -> Iterator[tuple[str, bool]]:
    """``there are more circles in the left image than in the right image``: the two counts differ."""
    counts = [_counts(scene) for scene in (left, right)]
    for shape in sorted({*counts[0], *counts[1]}):
        first, second = (count.get(shape, 0) for count in counts)
        if first != second:
            plural = f"{shape}es" if shape.endswith("s") else f"{shape}s"
            for this, that, true in ((*_SIDES, first > second), (*_SIDES[::-1], second > first)):
                yield f"there are more {plural} in the {this} image than in the {that} image", true


def _relations(left: Scene, right: Scene) -> Iterator[tuple[str, bool]]:
    """``in the left image a red circle is above a blue square``: the relation is clear, said as it is or turned."""
    for side, scene in zip(_SIDES, (left, right), strict=True):
        can_be_said = _said_of(scene)
        for caption in scene_captions(scene):
            a, b = scene.objects[caption.first], scene.objects[caption.second]
            word = relation(a, b)
            assert word is not None, "captions have a clear relation"
            yield _in_image(side, a, word, b), True
            turned = _in_image(side, a, _opposite(word), b)
            if turned.removeprefix(f"in the {side} image ") not in can_be_said:
                yield turned, False


_KINDS: tuple[PairKind, ...] = (_holds, _each, _more, _relations)


def _near(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the pairs of colour and shape, and those that mix a colour and a shape of the set."""
    return pairs | {(colour, shape) for colour, _ in pairs for _, shape in pairs}


def _counts(scene: Scene) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in scene.objects:
        counts[item.shape] = counts.get(item.shape, 0) + 1
    return counts


def _in_image(side: str, a: SceneObject, word: str, b: SceneObject) -> str:
    return f"in the {side} image a {_short(a)} is {word} a {_short(b)}"


def _short(item: SceneObject) -> str:
    return f"{item.colour} {item.shape}"


def _said_of(scene: Scene) -> set[str]:
    """Return every short statement that a reader might grant to the scene."""
    sentences = set()
    for a in scene.objects:
        for b in scene.objects:
            if a is not b:
                sentences.add(f"a {_short(a)} is {RELATIONS[0] if a.x < b.x else RELATIONS[1]} a {_short(b)}")
                sentences.add(f"a {_short(a)} is {RELATIONS[2] if a.y < b.y else RELATIONS[3]} a {_short(b)}")
    return sentences


def _opposite(word: str) -> str:
    place = RELATIONS.index(word)
    return RELATIONS[place ^ 1]


# --- one scene ---


def judgements(scene: Scene, rng: np.random.Generator) -> list[tuple[str, Judgement]]:
    """Return up to one statement of each judgement, in random order.

    ``entailment``: a caption of the scene. ``contradiction``: a caption whose relation is turned around, or whose
    colours are exchanged, so that it is true of no two objects. ``neutral``: two objects that lie on a diagonal, so
    that neither axis decides (ours: a scene shows everything, so that nothing is unknown in SNLI-VE's sense; a person
    would grant half of these statements, which the offset along their axis supports, and deny the other half).
    """
    captions = scene_captions(scene)
    granted = statements(scene)
    options: dict[Judgement, list[str]] = {
        "entailment": [caption.text for caption in captions],
        "neutral": _diagonals(scene),
        "contradiction": [text for c in captions for text in _turned(scene, c.first, c.second) if text not in granted],
    }
    chosen = [(texts[int(rng.integers(len(texts)))], label) for label, texts in options.items() if texts]
    return [chosen[int(place)] for place in rng.permutation(len(chosen))]


def _turned(scene: Scene, first: int, second: int) -> Iterator[str]:
    a, b = scene.objects[first], scene.objects[second]
    word = relation(a, b)
    assert word is not None, "captions have a clear relation"
    yield caption_text(a, _opposite(word), b)
    if a.colour != b.colour:
        exchanged = (f"{a.size} {b.colour} {a.shape}", f"{b.size} {a.colour} {b.shape}")
        yield f"a {exchanged[0]} {word} a {exchanged[1]}"


def _diagonals(scene: Scene) -> list[str]:
    single = [o for o in scene.objects if sum(p.words == o.words for p in scene.objects) == 1]
    unclear = [(a, b) for a in single for b in single if a is not b and relation(a, b) is None]
    return [caption_text(a, word, b) for a, b in unclear for word in RELATIONS]
