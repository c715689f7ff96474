"""DivPrune and CDPruner against slow versions of their descriptions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from bus_vlm.cdpruner import CDPrunerSelector
from bus_vlm.divprune import DivPruneSelector
from bus_vlm.greedy import cosines, farthest_first, greedy_determinant, scores_of_order
from torch import Tensor

from bus_toolkit.structures import TextTokens

B, N, D, K = 2, 12, 4, 5


def kept(selector: Any, view: Any) -> list[list[int]]:
    decision = selector(view)
    best = decision.scores.sort(dim=1, descending=True, stable=True).indices
    assert decision.plan.keep_indices.tolist() == [sorted(row[: decision.plan.num_slots]) for row in best.tolist()]
    return decision.plan.keep_indices.tolist()


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b / (a.norm() * b.norm())).item()


def slow_farthest(distance: list[list[float]], count: int) -> list[int]:
    tokens = range(len(distance))
    chosen = [max(tokens, key=lambda i: min(distance[i][j] for j in tokens if j != i))]  # the first of equal ones
    while len(chosen) < count:
        left = [i for i in tokens if i not in chosen]
        chosen.append(max(left, key=lambda i: min(distance[i][j] for j in chosen)))
    return chosen


def test_divprune_keeps_tokens_whose_nearest_are_far_apart(hundred: Any, view_of: Any) -> None:
    for draws in hundred:
        patches = draws.features(B, N, D)
        view = view_of(patches)
        wanted = [slow_farthest([[1 - cosine(a, b) for b in row] for a in row], K) for row in patches]
        assert farthest_first(1 - cosines(patches, patches), K).tolist() == wanted
        assert kept(DivPruneSelector(blocks=[1], keep_ratio=K / N), view) == [sorted(row) for row in wanted]


def test_the_first_is_the_farthest_from_its_nearest_and_then_the_farthest_from_the_chosen() -> None:
    """On a line at 0, 1, 10, 12: the nearest of 12 and of 10 is 2 away, of 0 and 1 it is 1; 10 comes first."""
    places = torch.tensor([[0.0, 1.0, 10.0, 12.0]])
    distances = (places.unsqueeze(2) - places.unsqueeze(1)).abs()
    assert farthest_first(distances, 4).tolist() == [[2, 0, 3, 1]]


def determinant_of(kernel: Tensor, chosen: list[int]) -> float:
    return torch.linalg.det(kernel[chosen][:, chosen]).item()


def test_each_token_makes_the_determinant_as_large_as_can_be(hundred: Any) -> None:
    for draws in hundred:
        features, relevance = draws.features(B, N, 16), draws.attention(B, N)
        kernel = relevance.unsqueeze(2) * cosines(features, features) * relevance.unsqueeze(1)
        for row, order in enumerate(greedy_determinant(kernel, K).tolist()):
            for count, chosen in enumerate(order):
                could = [i for i in range(N) if i not in order[:count]]
                values = {i: determinant_of(kernel[row], [*order[:count], i]) for i in could}
                best = max(values.values())
                equal = [i for i, value in values.items() if value > best - 1e-12]
                assert chosen in equal, f"{chosen} in place {count}: {values}"


def test_tokens_that_add_nothing_come_by_their_index() -> None:
    features = torch.eye(3).repeat(1, 3, 1)  # of 9 tokens, 3 different ones
    order = greedy_determinant(features @ features.transpose(1, 2), 7)
    assert order.tolist() == [[0, 1, 2, 3, 4, 5, 6]]


def slow_relevance(patches: Tensor, words: Tensor) -> list[float]:
    unlike = [-sum(cosine(patch, word) for word in words) / len(words) for patch in patches]
    least, most = min(unlike), max(unlike)
    return [(one - least + 1e-6) / (most - least) if most > least else 1.0 for one in unlike]


def test_cdpruner_chooses_by_the_kernel_of_relevance_and_likeness(hundred: Any, view_of: Any) -> None:
    for draws in hundred:
        patches, embeds = draws.features(B, N, 16), draws.features(B, 3, 16)
        mask = torch.tensor([[True, True, True], [True, True, False]])
        kernels = []
        for row in range(B):
            relevance = slow_relevance(patches[row], embeds[row, mask[row]])
            both = [[r * cosine(a, b) * s for s, b in zip(relevance, patches[row], strict=True)]
                    for r, a in zip(relevance, patches[row], strict=True)]  # fmt: skip
            kernels.append(torch.tensor(both, dtype=torch.float64))
        found = kept(
            CDPrunerSelector(blocks=[1], keep_ratio=K / N), view_of(patches, TextTokens(embeds, embeds[:, 0], mask))
        )
        for kernel, chosen in zip(kernels, found, strict=True):
            slow: list[int] = []
            while len(slow) < K:
                slow.append(
                    max((i for i in range(N) if i not in slow), key=lambda i: determinant_of(kernel, [*slow, i]))
                )
            # Rounding may choose another one of equal tokens; the determinant is what counts.
            assert determinant_of(kernel, chosen) == pytest.approx(determinant_of(kernel, slow), rel=1e-6, abs=1e-12)


def test_cdpruner_without_a_text_and_with_all_alike_is_diverse_alone(view_of: Any) -> None:
    patches = torch.eye(4).repeat(1, 2, 1)
    selector = CDPrunerSelector(blocks=[1], keep_ratio=0.5)
    assert kept(selector, view_of(patches)) == [[0, 1, 2, 3]]
    words = torch.ones(1, 2, 4)
    assert kept(selector, view_of(patches, TextTokens(words, words[:, 0], torch.ones(1, 2, dtype=torch.bool)))) == [
        [0, 1, 2, 3]
    ]


def test_scores_fall_from_one_in_the_order_of_the_choice() -> None:
    scores = scores_of_order(torch.tensor([[3, 0]]), 4, torch.float32)
    assert scores.tolist() == [[0.5, 0.0, 0.0, 1.0]]
    assert all(a >= b for a, b in pairwise(scores.sort(descending=True).values[0].tolist()))
