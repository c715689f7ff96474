"""How VQA compares answers: cleaned up, and right as far as people agree with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from mmpretrain.evaluation.metrics.vqa import VQAAcc

# VQA v2 has so many answers a question, of which three make another one right.
_NUM_PEOPLE = 10
_ENOUGH = 3

_clean = VQAAcc()._process_answer


@lru_cache(maxsize=1 << 16)
def normalise_answer(answer: str) -> str:
    """Return an answer as VQA's evaluation compares it: lower case, no articles and punctuation, numbers as digits.

    This is mmpretrain's copy of the official clean-up (GT-Vision-Lab/VQA:PythonEvaluationTools/vqaEvaluation/
    vqaEval.py), applied always; the official code leaves the people's answers as they are where all are the same.
    """
    return _clean(answer)


def answer_shares(answers: Sequence[str], weights: Sequence[float] | None = None) -> dict[str, float]:
    """Return the share of each cleaned answer among ``answers``; of all the same weight if none are given."""
    shares: dict[str, float] = {}
    for answer, weight in zip(answers, weights or [1.0 / len(answers)] * len(answers), strict=True):
        cleaned = normalise_answer(answer)
        shares[cleaned] = shares.get(cleaned, 0.0) + float(weight)
    return shares


def answer_accuracy(answer: str, shares: Mapping[str, float]) -> float:
    """Return VQA's accuracy of a cleaned answer, in [0, 1].

    Officially ``min(n / 3, 1)``, n people having said the same, averaged over the ten ways to leave one of ten people
    out: 0, 0.3, 0.6, 0.9 and from n = 4 on 1. Any other number of people counts as shares of ten (ours), between whole
    numbers by the same formula: the only answer of a question is right or wrong.
    """
    same = _NUM_PEOPLE * shares.get(answer, 0.0)
    left_out, kept = max(same - 1.0, 0.0), same
    mean = (same * min(left_out / _ENOUGH, 1.0) + (_NUM_PEOPLE - same) * min(kept / _ENOUGH, 1.0)) / _NUM_PEOPLE
    return min(mean, 1.0)
