"""What a study aimed at, written into its YAML before it ran."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from bus_toolkit.errors import ConfigError


class ClaimKind(Enum):
    """What is compared; the value is the keys that distinguish it."""

    WRONG_WITHIN = "wrong_text_of, within"
    """An arm whose selection reads another text differs from an arm (itself, say) by at most ``bound`` points."""
    ABOVE = "above"
    """An arm is at least ``bound`` points above another one."""
    WITHIN = "within"
    """An arm differs from another one by at most ``bound`` points."""
    WRONG_TEXT = "wrong_text_of"
    """An arm whose selection reads another text is at most ``bound`` points above another arm."""
    TIME = "time_of"
    """An arm needs at most ``bound`` times the time of the unpruned arm to that one's end quality."""
    COST = "cost_of"
    """An arm costs at most ``bound`` times the MACs a question of another one, so many questions an image."""

    @property
    def keys(self) -> list[str]:
        """The keys that a claim of this kind must have for it to be one; no other kind has all of them."""
        return self.value.split(", ")


@dataclass(frozen=True)
class Claim:
    """One aim.

    Attributes:
        says: The aim in words.
        kind: What is compared.
        task: The task.
        question_kind: Kind of its questions; empty if it has one kind only.
        keep: Keep ratio.
        arm: The arm it is about.
        other: The arm it is compared to; empty for a time, which is compared to the unpruned arm.
        bound: In points; for a time or a cost the factor.
        questions: About one image, for a cost.
    """

    says: str
    kind: ClaimKind
    task: str
    question_kind: str
    keep: float
    arm: str
    other: str
    bound: float
    questions: int = 1

    @property
    def is_under_other_text(self) -> bool:
        """Whether it is about an arm whose selection reads another text."""
        return self.kind in (ClaimKind.WRONG_TEXT, ClaimKind.WRONG_WITHIN)


# Keys beside says, task, kind and keep: of the arm, of the other arm, of the bound and its default (None: needed).
_FORMS: dict[ClaimKind, tuple[str, str | None, str, float | None]] = {
    ClaimKind.WRONG_WITHIN: ("wrong_text_of", "of", "within", None),
    ClaimKind.ABOVE: ("arm", "above", "by", None),
    ClaimKind.WITHIN: ("arm", "of", "within", None),
    ClaimKind.WRONG_TEXT: ("wrong_text_of", "at_most", "by", 0.0),
    ClaimKind.TIME: ("time_of", None, "at_most", None),
    ClaimKind.COST: ("cost_of", "of", "at_most", None),
}
_COMMON = {"says", "task", "kind", "keep"}
_QUESTIONS = "questions"
"""Needed for a cost."""


def read_claim(node: Any, location: str) -> Claim:
    """Return the claim of a YAML node.

    Raises:
        ConfigError: It has none of the forms of ``ClaimKind``, or a value is of the wrong kind.
    """
    # The first kind has the key of another one, too.
    kind = next((kind for kind in ClaimKind if isinstance(node, dict) and {*kind.keys} <= {*node}), None)
    forms = "; ".join(_form(kind) for kind in ClaimKind)
    if kind is None:
        raise ConfigError(f"{location}: must be a mapping with says, task, keep and one of: {forms}, got {node!r}.")
    arm, other, bound, default = _FORMS[kind]
    own = {arm, bound} | ({other} if other else set()) | ({_QUESTIONS} if kind is ClaimKind.COST else set())
    needed = (_COMMON - {"kind"}) | (own if default is None else own - {bound})
    if set(node) - _COMMON - own or needed - set(node):
        raise ConfigError(
            f"{location}: takes says, task, keep, perhaps kind, and {_form(kind)}, got {', '.join(map(str, node))}."
        )
    limit, questions = node.get(bound, default), node.get(_QUESTIONS, 1)
    if isinstance(questions, bool) or not isinstance(questions, int) or questions < 1:
        raise ConfigError(f"{location}.{_QUESTIONS}: must be a whole number of 1 or more, got {questions!r}.")
    for key, value in (("keep", node["keep"]), (bound, limit)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{location}.{key}: must be a number, got {value!r}.")
    return Claim(
        says=str(node["says"]),
        kind=kind,
        task=str(node["task"]),
        question_kind=str(node.get("kind", "")),
        keep=float(node["keep"]),
        arm=str(node[arm]),
        other=str(node[other]) if other else "",
        bound=float(limit),
        questions=questions,
    )


def _form(kind: ClaimKind) -> str:
    arm, other, bound, default = _FORMS[kind]
    keys = [arm, *([other] if other else []), bound if default is None else f"[{bound}]"]
    keys += [_QUESTIONS] if kind is ClaimKind.COST else []
    return ", ".join(keys)
