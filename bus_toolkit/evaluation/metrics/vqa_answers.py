"""How VQA compares answers: cleaned up, and right as far as people agree with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.errors import DataError

# VQA v2 has so many answers a question, of which three make another one right.
_NUM_PEOPLE = 10
_ENOUGH = 3
_ROUNDING = 1e-3


def answer_shares(answers: Sequence[str], weights: Sequence[float] | None = None) -> dict[str, float]:
    """Return the share of each cleaned answer among ``answers``; of all the same weight if none are given.

    Raises:
        DataError: Weights that are no shares: not one an answer, negative, or more than 1 together, such as counts.
    """
    weights = weights or [1.0 / len(answers)] * len(answers)
    if len(weights) != len(answers) or not (min(weights) >= 0.0 and sum(weights) <= 1.0 + _ROUNDING):
        raise DataError(
            f"gt_answer_weight: must be one share an answer, 1 or less together, got {list(weights)} for "
            f"{list(answers)}. Divide counts by the number of people who answered."
        )
    shares: dict[str, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        cleaned = normalise_answer(answer)
        shares[cleaned] = shares.get(cleaned, 0.0) + float(weight)
    return shares


def answer_accuracy(answer: str, shares: Mapping[str, float]) -> float:
    """Return VQA's accuracy of a cleaned answer, in [0, 1]; an empty one is never right.

    Officially ``min(n / 3, 1)``, n people having said the same, averaged over the ten ways to leave one of ten people
    out: 0, 0.3, 0.6, 0.9 and from n = 4 on 1. Any other number of people counts as shares of ten (ours), between whole
    numbers by the same formula: the only answer of a question is right or wrong.
    """
    if is_blank(answer):
        return 0.0
    same = _NUM_PEOPLE * shares.get(answer, 0.0)
    left_out, kept = max(same - 1.0, 0.0), same
    mean = (same * min(left_out / _ENOUGH, 1.0) + (_NUM_PEOPLE - same) * min(kept / _ENOUGH, 1.0)) / _NUM_PEOPLE
    return min(mean, 1.0)
