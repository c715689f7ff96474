"""SparseVLM and its clusters against slow versions of their descriptions."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

import torch
from bus_vlm.density_peaks import density_peaks
from bus_vlm.sparsevlm import SparseVLMSelector
from torch import Tensor

from bus_toolkit.ops import apply_plan
from bus_toolkit.structures import TextTokens

B, N, L, D = 3, 40, 5, 4
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)


def best(scores: Tensor, count: int) -> list[int]:
    values = scores.tolist()
    return sorted(range(len(values)), key=lambda i: -values[i])[:count]


def raters(patches: Tensor, words: Tensor) -> list[int]:
    """Return which words rate, for patches (N, D) and the words (L, D) of one text without padding."""
    relevance = (patches @ words.T).softmax(dim=1).mean(dim=0).tolist()
    mean = sum(relevance) / len(relevance)
    # What is above by rounding alone is not above.
    return [t for t, one in enumerate(relevance) if one > mean * (1 + 1e-5)] or list(range(len(words)))


def test_relevant_words_rate_and_the_best_of_the_dropped_are_recycled(hundred: Any, view_of: Any) -> None:
    """20 of 40: int(0.3 x 20) + 1 = 7 make int(0.4 x 7) + 1 = 3 clusters; 17 stay, int(0.3 x 23) + 1 are recycled."""
    for draws in hundred:
        embeds, attention, patches = draws.features(B, L, D), draws.attention(B, L, N), draws.features(B, N, D)
        inside = {"attention_of_words": attention, "entered": (patches, embeds)}
        # What entered the first layer says who rates, not what has become of it.
        seen = view_of(draws.features(B, N, D), TextTokens(-embeds, embeds[:, 0], MASK), **inside)
        plan, scores, *_ = SparseVLMSelector(blocks=[1], center_share=0.4)(seen)
        out = apply_plan(seen.patches, plan)
        for row in range(B):
            x = seen.patches[row]
            asking = raters(patches[row], embeds[row, MASK[row]])
            torch.testing.assert_close(scores[row], attention[row, asking].mean(dim=0))
            ranked = best(scores[row], N)
            kept, recycled = ranked[:17], sorted(ranked[17:24])
            centers, labels = slow_density_peaks(x[recycled].tolist(), 3)
            wanted = {i: x[i] for i in kept}
            for c, center in enumerate(centers):
                members = [i for i, label in zip(recycled, labels, strict=True) if label == c]
                wanted[recycled[center]] = x[members].mean(dim=0)
            assert plan.keep_indices[row].tolist() == sorted(wanted)
            torch.testing.assert_close(out[row], torch.stack([wanted[i] for i in sorted(wanted)]))
            gone = [i for i in ranked if i not in kept and i not in recycled]
            assert plan.slots[row, gone].eq(-1).all() and abs(plan.weights[row].sum().item() - 20) < 1e-9


def slow_density_peaks(points: list[list[float]], count: int) -> tuple[list[int], list[int]]:
    width, members = len(points[0]), range(len(points))
    distance = [
        [sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True))) / sqrt(width) for b in points] for a in points
    ]
    density = [exp(-sum(d * d for d in sorted(distance[i])[:count]) / count) for i in members]
    largest, merit = max(map(max, distance)), []
    for i in members:
        denser = [distance[i][j] for j in members if (density[j], -j) > (density[i], -i)]
        merit.append(density[i] * min(denser, default=largest))
    centers = sorted(sorted(members, key=lambda i: -merit[i])[:count])
    labels = [
        centers.index(i) if i in centers else min(range(count), key=lambda c: distance[i][centers[c]]) for i in members
    ]
    return centers, labels


def test_density_peaks_finds_what_lies_apart() -> None:
    points = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0], [0.0, 0.1], [9.1, 9.0], [9.0, 9.1]]).unsqueeze(0)
    centers, labels = density_peaks(points, 2)
    assert centers.tolist() == [[0, 2]] and labels.tolist() == [[0, 0, 1, 0, 1, 1]]


def test_density_peaks_gives_ties_to_the_lower_index_and_a_center_to_itself() -> None:
    centers, labels = density_peaks(torch.ones(2, 5, 4), 2)
    assert centers.tolist() == [[0, 1]] * 2 and labels.tolist() == [[0, 1, 0, 0, 0]] * 2


def test_without_recycling_it_drops(hundred: Any, view_of: Any) -> None:
    embeds, patches = hundred[0].features(B, L, D), hundred[0].features(B, N, D)
    inside = {"attention_of_words": hundred[0].attention(B, L, N), "entered": (patches, embeds)}
    seen = view_of(patches, TextTokens(embeds, embeds[:, 0], MASK), **inside)
    plan = SparseVLMSelector(blocks=[1], recycle_share=0.0)(seen).plan
    assert not plan.merging and plan.num_slots == 20
    assert SparseVLMSelector(blocks=[1], keep_ratio=1 / N)(seen).plan.num_slots == 1
