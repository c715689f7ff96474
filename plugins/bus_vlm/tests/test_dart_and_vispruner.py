"""DART and VisPruner against slow versions of their descriptions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bus_vlm.dart import DARTSelector
from bus_vlm.vispruner import VisPrunerSelector
from torch import Tensor

from bus_toolkit.structures import TextTokens

B, N, D = 2, 13, 4


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b / (a.norm() * b.norm())).item()


def best(numbers: list[float], count: int) -> list[int]:
    return sorted(range(len(numbers)), key=lambda i: -numbers[i])[:count]


def words_of(draws: Any, length: int) -> TextTokens:
    embeds = draws.features(B, length, D) * draws.attention(B, length, 1)
    mask = torch.ones(B, length, dtype=torch.bool)
    mask[1, 1:] = False
    return TextTokens(embeds, embeds[:, 0], mask)


def slow_dart(patches: Tensor, keys: Tensor, words: Tensor, count: int, num_pivots: int, num_words: int) -> list[int]:
    pivots = best([key.abs().sum().item() for key in keys], min(num_pivots, count))
    strongest = best([word.abs().sum().item() for word in words], num_words)
    strongest += strongest[:1] * (num_words - len(strongest))
    asking = [patches[i] for i in pivots] + [words[i] for i in strongest]
    taken, left = list(pivots), count - len(pivots)
    for number, pivot in enumerate(asking):
        quota = left // len(asking) + (number < left % len(asking))
        free = [i for i in range(len(patches)) if i not in taken]
        taken += sorted(free, key=lambda i: cosine(pivot, patches[i]))[:quota]
    return taken


@pytest.mark.parametrize("length", [5, 2])
def test_dart_keeps_pivots_and_what_is_least_like_them(hundred: Any, view_of: Any, length: int) -> None:
    for draws in hundred:
        patches, keys, text = draws.features(B, N, D), draws.features(B, N, 2, 2), words_of(draws, length)
        keys = keys * draws.attention(B, N, 1, 1)
        decision = DARTSelector(blocks=[1], keep_ratio=9 / N, num_pivots=2, num_word_pivots=3)(
            view_of(patches, text, keys=keys)
        )
        for row in range(B):
            words = text.embeds[row, text.attention_mask[row]]
            wanted = slow_dart(patches[row], keys[row], words, 9, 2, 3)
            assert decision.plan.keep_indices[row].tolist() == sorted(wanted)
            assert decision.scores[row].sort(descending=True, stable=True).indices[:9].tolist() == wanted


def test_dart_without_a_text_and_with_fewer_tokens_than_pivots(hundred: Any, view_of: Any) -> None:
    for draws in hundred:
        patches, keys = draws.features(B, N, D), draws.features(B, N, 2, 2)
        for count in (3, 8):
            plan = DARTSelector(blocks=[1], keep_ratio=count / N)(view_of(patches, keys=keys)).plan
            wanted = [slow_dart(*pair, patches[0, :0], count, 4, 0) for pair in zip(patches, keys, strict=True)]
            assert plan.keep_indices.tolist() == [sorted(row) for row in wanted]


def slow_vispruner(patches: Tensor, attention: Tensor, count: int, important: int, step: int) -> list[int]:
    order = best(attention.tolist(), len(attention))
    kept, others = order[:important], order[important:]
    while important < count < important + len(others):
        first, second = others[::2], others[1::2]
        likeness = {i: max(cosine(patches[i], patches[j]) for j in second) for i in first}
        gone = min(step, important + len(others) - count, len(first))
        others = sorted(first, key=lambda i: -likeness[i])[gone:] + second
    return kept + others[: count - important]


@pytest.mark.parametrize("share", [0.5, 0.0, 1.0])
def test_vispruner_keeps_what_matters_and_then_drops_duplicates(hundred: Any, view_of: Any, share: float) -> None:
    for draws in hundred:
        patches, attention = draws.features(B, N, D), draws.attention(B, N)
        selector = VisPrunerSelector(blocks=[1], keep_ratio=6 / N, important_share=share, step=3)
        decision = selector(view_of(patches, cls_attention=attention))
        for row in range(B):
            wanted = slow_vispruner(patches[row], attention[row], 6, int(6 * share), 3)
            assert decision.plan.keep_indices[row].tolist() == sorted(wanted)


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="must be 1 or more and 0 or more, got 0 and 4"):
        DARTSelector(blocks=[1], num_pivots=0)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\] and 1 or more tokens, got 1.5 and 8"):
        VisPrunerSelector(blocks=[1], important_share=1.5)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\] and 1 or more tokens, got 0.5 and 0"):
        VisPrunerSelector(blocks=[1], step=0)
