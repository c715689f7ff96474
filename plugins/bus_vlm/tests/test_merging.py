"""VisionZip and PruMerge against slow versions of their descriptions."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from bus_vlm.prumerge import PruMergeSelector
from bus_vlm.visionzip import VisionZipSelector
from torch import Tensor

from bus_toolkit.ops import apply_plan

B, N, D = 2, 24, 4


def seen_by(draws: Any, view_of: Any) -> Any:
    """Return a view of N patches with an attention and one head of keys and a query of 4 numbers."""
    inside = {
        "cls_attention": draws.attention(B, N),
        "keys": draws.features(B, N, 1, D),
        "cls_query": draws.features(B, 1, D),
    }
    return view_of(draws.features(B, N, D), **inside)


def cosine(a: list[float], b: list[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / (sqrt(sum(x * x for x in a)) * sqrt(sum(y * y for y in b)))


def best(scores: Tensor, count: int) -> list[int]:
    values = scores.tolist()
    return sorted(range(len(values)), key=lambda i: -values[i])[:count]


def test_visionzip_adds_the_mean_of_what_is_nearest_to_each_strided_target(hundred: Any, view_of: Any) -> None:
    """12 of 24 at a share of 0.25: 9 dominant, 15 left, 3 targets, every 5th of them."""
    for draws in hundred:
        seen = seen_by(draws, view_of)
        plan, scores, *_ = VisionZipSelector(blocks=[1], keep_ratio=0.5, contextual_share=0.25)(seen)
        assert torch.equal(scores, seen.inside.cls_attention())
        out = apply_plan(seen.patches, plan)
        for row in range(B):
            x, keys = seen.patches[row], seen.inside.keys()[row, :, 0].tolist()
            dominant = best(scores[row], 9)
            rest = [i for i in range(N) if i not in dominant]
            targets = rest[::5]
            wanted = {i: x[i] for i in dominant}
            goes_to = {
                i: max(targets, key=lambda t: cosine(keys[i], keys[t])) for i in rest if i not in targets
            }  # fmt: skip
            for target in targets:
                own = [x[i] for i, goal in goes_to.items() if goal == target]
                wanted[target] = x[target] + (torch.stack(own).mean(dim=0) if own else 0.0)
            assert plan.keep_indices[row].tolist() == sorted(wanted)
            torch.testing.assert_close(out[row], torch.stack([wanted[i] for i in sorted(wanted)]))
            followed = {i: plan.keep_indices[row, plan.slots[row, i]].item() for i in goes_to}
            assert followed == goes_to


def test_visionzip_compares_keys_averaged_over_the_heads(view_of: Any) -> None:
    """Two dominant of six, 2 and 4 are targets; by the first head alone 3 would go to 4."""
    keys = torch.zeros(1, 6, 2, 2)
    keys[0, 2] = torch.tensor([[4.0, 0.0], [-2.0, 0.0]])
    keys[0, 4] = torch.tensor([[0.0, 9.0], [0.0, -8.0]])
    keys[0, [3, 5]] = torch.tensor([[-1.0, 3.0], [2.0, -3.0]])
    view = view_of(torch.eye(6).unsqueeze(0), cls_attention=torch.tensor([[9.0, 8, 0, 0, 0, 0]]), keys=keys)
    plan = VisionZipSelector(blocks=[1], keep_ratio=4 / 6, contextual_share=0.5)(view).plan
    assert plan.keep_indices.tolist() == [[0, 1, 2, 4]] and plan.slots.tolist() == [[0, 1, 2, 2, 3, 2]]


def test_visionzip_counts_contextual_tokens_as_its_share_says(hundred: Any, view_of: Any) -> None:
    selector = VisionZipSelector(blocks=[1])
    assert [selector.num_contextual(count) for count in (1, 2, 12, 13, 64)] == [0, 1, 1, 2, 10]
    plan = VisionZipSelector(blocks=[1], contextual_share=0.0)(seen_by(hundred[0], view_of)).plan
    assert not plan.merging and (plan.slots < 0).sum().item() == B * (N - plan.num_slots)


@pytest.mark.parametrize("plus", [False, True])
def test_prumerge_absorbs_near_keys_and_fuses_the_others(plus: bool, hundred: Any, view_of: Any) -> None:
    """6 of 24 absorb, and the extra token comes last; with samples 3 of the 6 are the middles of thirds."""
    num_fused = num_empty = 0
    for draws in hundred:
        seen = seen_by(draws, view_of)
        plan, scores, *_ = PruMergeSelector(blocks=[1], keep_ratio=0.25, num_neighbors=5, plus=plus)(seen)
        out = apply_plan(seen.patches, plan)
        for row in range(B):
            keys = seen.inside.keys()[row, :, 0]
            attention = (keys @ seen.inside.cls_query()[row, 0] / D**0.5).softmax(dim=0)
            torch.testing.assert_close(scores[row], attention)
            samples, extra = [4, 12, 20] if plus else [], N
            ranked = [i for i in best(scores[row], N) if i not in samples]
            absorbing = sorted(samples + ranked[: 6 - len(samples)])
            x, by_key = seen.patches[row], keys.tolist()
            wanted = {i: x[i].clone() for i in absorbing} | {extra: torch.zeros(D, dtype=torch.float64)}
            like = {a: [cosine(by_key[a], key) for key in by_key] for a in absorbing}
            near = {a: sorted((i for i in range(N) if i != a), key=lambda i: -like[a][i])[:5] for a in absorbing}
            for i in (i for i in range(N) if i not in wanted):
                reached = [a for a in absorbing if i in near[a]]
                goes_to = max(reached, key=lambda a: like[a][i]) if reached else extra
                wanted[goes_to] += attention[i] * x[i]
                num_fused += goes_to == extra
            num_empty += not wanted[extra].any()
            assert plan.keep_indices[row].tolist() == absorbing
            torch.testing.assert_close(out[row], torch.stack([wanted[i] for i in sorted(wanted)]))
    assert num_fused > 0, "the extra token is tested too"


def test_prumerge_with_one_kept_token_loses_none(hundred: Any, view_of: Any) -> None:
    seen = seen_by(hundred[0], view_of)
    plan, scores, *_ = PruMergeSelector(blocks=[1], keep_ratio=1 / N, num_neighbors=2)(seen)
    weights = scores.scatter(1, plan.keep_indices, 1.0)
    out = apply_plan(seen.patches, plan).sum(dim=1)
    torch.testing.assert_close(out, (weights.unsqueeze(2) * seen.patches).sum(dim=1))


def test_equal_scores_go_to_the_lower_index(view_of: Any) -> None:
    view = view_of(torch.zeros(B, N, D), cls_attention=torch.full((B, N), 1 / N))
    plan = VisionZipSelector(blocks=[1], contextual_share=0.0, keep_ratio=0.25)(view).plan
    assert plan.keep_indices.tolist() == [list(range(6))] * B


def test_weights_of_prumerge_carry_gradient(hundred: Any, view_of: Any) -> None:
    seen = seen_by(hundred[0], view_of)
    query = seen.inside.cls_query().requires_grad_()
    apply_plan(seen.patches, PruMergeSelector(blocks=[1])(seen).plan).square().sum().backward()
    assert query.grad is not None and query.grad.abs().sum() > 0
