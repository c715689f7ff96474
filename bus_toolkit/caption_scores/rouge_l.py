"""ROUGE-L: the longest sequence of words that a caption shares with a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bus_toolkit.caption_scores.tokens import Tokens


def rouge_l(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], beta: float = 1.2) -> np.ndarray:
    """Return ROUGE-L of each image, float64 (I,); that of a corpus is the mean.

    Lin, ACL workshop 2004: the F-measure of the longest common subsequence. With several references, the best precision
    and the best recall are taken, each by itself (tylin/coco-caption:pycocoevalcap/rouge/rouge.py).

    Args:
        candidates: One caption an image.
        references: The reference captions of each image.
        beta: Weight of recall against precision.
    """
    pairs = zip(candidates, references, strict=True)
    return np.array([_f_measure(caption, wanted, beta) for caption, wanted in pairs])


def _f_measure(caption: Tokens, references: Sequence[Tokens], beta: float) -> float:
    shared = [common_subsequence(caption, reference) for reference in references]
    if not any(shared):
        return 0.0
    precision = max(shared) / len(caption)
    recall = max(length / len(reference) for length, reference in zip(shared, references, strict=True) if reference)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def common_subsequence(one: Tokens, two: Tokens) -> int:
    """Return the length of the longest sequence of tokens that both have in this order, gaps allowed."""
    row = [0] * (len(two) + 1)
    for token in one:
        # row[j]: the longest with the first j tokens of `two`; `diagonal` is row[j - 1] of the token before.
        diagonal = 0
        for place, other in enumerate(two, start=1):
            longest = diagonal + 1 if token == other else max(row[place], row[place - 1])
            diagonal, row[place] = row[place], longest
    return row[-1]
