"""Questions about a scene, and the one answer that its graph gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bus_toolkit.data.scenes.captions import relation
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import RELATIONS

Form = tuple[str, ...]
"""The attributes that a description gives, in their order in the text."""
Values = tuple[str, ...]
"""Their values in one object."""

_ALL_FORMS: tuple[Form, ...] = (
    ("shape",),
    ("size",),
    ("colour",),
    ("size", "shape"),
    ("colour", "shape"),
    ("size", "colour"),
    ("size", "colour", "shape"),
)
# RELATIONS lists each one next to its opposite.
_OPPOSITES = {word: RELATIONS[place ^ 1] for place, word in enumerate(RELATIONS)}
_ASKED = {"colour": "color", "shape": "shape", "size": "size"}


@dataclass(frozen=True)
class SceneQuestion:
    """A question, its answer, its kind, and the places in ``Scene.objects`` of the objects that it speaks of."""

    text: str
    answer: str
    kind: str
    named: tuple[int, ...]

    @property
    def answer_type(self) -> str:
        """The kind of answer in VQA v2's words: ``yes/no``, ``number`` or ``other``."""
        return {"count": "number", "existence": "yes/no", "relation": "yes/no"}.get(self.kind, "other")


def scene_questions(scene: Scene, rng: np.random.Generator, count: int = 6) -> list[SceneQuestion]:
    """Return up to ``count`` questions of different kinds; a kind of which there is no clear question is left out.

    The kinds are ``colour``, ``shape`` and ``size`` of the one object that a description fits, ``count`` of those that
    one fits, ``existence`` and ``relation``, which ask for yes or no. Of the answers that a kind could have in this
    scene each is equally likely. A no is a near miss: attributes that occur here, though not in one object, or the
    opposite of a relation that is clear.
    """
    questions = []
    for kind in rng.permutation(list(_KINDS)):
        question = _KINDS[str(kind)](scene.objects, rng)
        if question is not None:
            questions.append(question)
    return questions[:count]


def _attribute(kind: str) -> Callable[[Sequence[SceneObject], np.random.Generator], SceneQuestion | None]:
    """Return a function that asks for an attribute of a single object, described without it."""

    def ask(objects: Sequence[SceneObject], rng: np.random.Generator) -> SceneQuestion | None:
        options = []
        for form in _ALL_FORMS:
            if kind not in form:
                for values, places in _groups(objects, form).items():
                    if len(places) == 1:
                        text = f"what {_ASKED[kind]} is the {_phrase(form, values)}"
                        options.append(SceneQuestion(text, getattr(objects[places[0]], kind), kind, places))
        return _balanced(options, rng)

    return ask


def _count(objects: Sequence[SceneObject], rng: np.random.Generator) -> SceneQuestion | None:
    options = [_how_many((), (), tuple(range(len(objects))))]
    for form in _ALL_FORMS[:-1]:
        there = _groups(objects, form)
        options += [_how_many(form, values, places) for values, places in there.items()]
        options += [_how_many(form, values, ()) for values in _near_misses(objects, form, there)]
    return _balanced(options, rng)


def _how_many(form: Form, values: Values, places: tuple[int, ...]) -> SceneQuestion:
    text = f"what is the number of {_phrase(form, values, plural=True)}"
    return SceneQuestion(text, str(len(places)), "count", places)


def _existence(objects: Sequence[SceneObject], rng: np.random.Generator) -> SceneQuestion | None:
    """Ask with a form of description that allows yes and no, so that the form does not reveal the answer."""
    for index in rng.permutation(len(_ALL_FORMS)):
        form = _ALL_FORMS[int(index)]
        there = _groups(objects, form)
        missing = _near_misses(objects, form, there)
        if missing:
            options = [_is_there(form, values, places) for values, places in there.items()]
            return _balanced([*options, *(_is_there(form, values, ()) for values in missing)], rng)
    return None


def _is_there(form: Form, values: Values, places: tuple[int, ...]) -> SceneQuestion:
    phrase = _phrase(form, values)
    article = "an" if phrase[0] in "aeiou" else "a"
    return SceneQuestion(f"is there {article} {phrase}", "yes" if places else "no", "existence", places)


def _relation(objects: Sequence[SceneObject], rng: np.random.Generator) -> SceneQuestion | None:
    """Ask of two objects, each described so that nothing else is meant, whose relation is clear."""
    names = _single_descriptions(objects)
    pairs = [(i, j) for i in names for j in names if i != j and relation(objects[i], objects[j])]
    if not pairs:
        return None
    first, second = pairs[int(rng.integers(len(pairs)))]
    word = relation(objects[first], objects[second])
    assert word is not None, "the pairs are those with a clear relation"
    true = bool(rng.integers(2))
    one, other = (names[place][int(rng.integers(len(names[place])))] for place in (first, second))
    text = f"is the {one} {word if true else _OPPOSITES[word]} the {other}"
    return SceneQuestion(text, "yes" if true else "no", "relation", (first, second))


def _single_descriptions(objects: Sequence[SceneObject]) -> dict[int, list[str]]:
    """Return for each object that can be described alone every such description."""
    descriptions: dict[int, list[str]] = {}
    for form in _ALL_FORMS:
        for values, places in _groups(objects, form).items():
            if len(places) == 1:
                descriptions.setdefault(places[0], []).append(_phrase(form, values))
    return descriptions


def _groups(objects: Sequence[SceneObject], form: Form) -> dict[Values, tuple[int, ...]]:
    """Return each combination of values that occurs, and the places of its objects."""
    groups: dict[Values, tuple[int, ...]] = {}
    for place, item in enumerate(objects):
        values = tuple(getattr(item, name) for name in form)
        groups[values] = (*groups.get(values, ()), place)
    return groups


def _near_misses(objects: Sequence[SceneObject], form: Form, there: Iterable[Values]) -> list[Values]:
    """Return the combinations of values that occur one by one and not together, in a fixed order."""
    known = set(there)
    values = [dict.fromkeys(getattr(item, name) for item in objects) for name in form]
    return [combination for combination in product(*values) if combination not in known]


def _phrase(form: Form, values: Values, plural: bool = False) -> str:
    """Return the description: adjectives, then the shape, or ``object`` where the form does not give it."""
    words = [*values] if "shape" in form else [*values, "object"]
    if plural:
        words[-1] += "es" if words[-1].endswith("s") else "s"
    return " ".join(words)


def _balanced(options: Sequence[SceneQuestion], rng: np.random.Generator) -> SceneQuestion | None:
    """Return one of the questions: any of their answers with the same chance, then any question that has it."""
    if not options:
        return None
    answers = sorted({option.answer for option in options})
    answer = answers[int(rng.integers(len(answers)))]
    fitting = [option for option in options if option.answer == answer]
    return fitting[int(rng.integers(len(fitting)))]


_KINDS: dict[str, Callable[[Sequence[SceneObject], np.random.Generator], SceneQuestion | None]] = {
    **{kind: _attribute(kind) for kind in _ASKED},
    "count": _count,
    "existence": _existence,
    "relation": _relation,
}
