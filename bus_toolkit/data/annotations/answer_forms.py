"""The form in which answers are compared: that of VQA's evaluation."""

from __future__ import annotations

from functools import lru_cache

from bus_toolkit.accents import without_accents


@lru_cache(maxsize=1 << 16)
def normalise_answer(answer: str) -> str:
    """Return an answer as VQA's evaluation compares it: lower case, no articles and punctuation, numbers as digits.

    This is mmpretrain's copy of the official clean-up (GT-Vision-Lab/VQA:PythonEvaluationTools/vqaEvaluation/
    vqaEval.py), applied always; the official code leaves the people's answers as they are where all are the same. Ours:
    an answer of which that would leave nothing ("a", "the", "?") stays as it is, in lower case, or all of these and no
    answer at all would be one and the same; and accents are left out, which many vocabularies cannot write.
    """
    plain = without_accents(answer)
    return _clean(plain) or " ".join(plain.lower().split())


def _clean(answer: str) -> str:
    from mmpretrain.evaluation.metrics.vqa import VQAAcc

    return VQAAcc()._process_answer(answer)
