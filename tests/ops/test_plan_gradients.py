"""Gradients through token plans, against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bus_toolkit import ops
from bus_toolkit.ops import (
    TokenPlan,
    apply_plan,
    bipartite_merge_plan,
    carry_weights,
    compose,
    gather_tokens,
    keep_plan,
    mean_over_ranks,
    merge_plan,
    patch_centres,
    scatter_back,
    shares_of_box,
    similarity_of_halves,
)

# No number that a gradient could reach comes out, or nothing is computed.
WITHOUT_GRADIENT = {
    "even_cells",
    *("AbsolutePositions", "KeptPatches", "PositionTable", "RelativePositions", "bipartite_halves"),
    *("KeepRatioSchedule", "TokenPlan", "at_least_float32_dtype", "boxes_to_patch_labels", "compose", "num_kept"),
    *("other_rows", "own_rows", "patch_centres", "patches_in_tokens", "rank", "row_noise", "top_indices"),
    *("carry_to_candidates", "keep_marked", "patch_cover", "share_of_mass", "world_size"),
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


TOKENS, SIZES, SCORES = numbers(2, 7, 3), numbers(2, 6, seed=1), numbers(2, 6, seed=2)
KEEP = torch.tensor([[0, 2, 5], [1, 2, 3]])
# In the first row the tokens 1, 3 and 4 join others; in the second 0, 4 and 5.
TARGET = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 1]])
ABSORBING = torch.tensor([[0, 3, 1, -1, 3, 2], [3, 0, 1, 2, 2, -1]])  # slot 3 is the fused token, -1 is dropped


def fused_by(weights: Tensor, *, normalize: bool = True) -> TokenPlan:
    return keep_plan(SCORES, 3, fuse=True, fuse_weights_BN=weights, normalize=normalize)


def merged_and_fused(weights: Tensor) -> TokenPlan:
    return TokenPlan(KEEP, ABSORBING, weights, fused=True, merging=True)


def edges(tokens: Tensor) -> Tensor:
    return similarity_of_halves(tokens[:, 1:], num_prefix=1)


CASES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "apply_plan keeping": (lambda t: apply_plan(t, keep_plan(SCORES, 3), num_prefix=1), (TOKENS,)),
    "apply_plan keeping all": (lambda t: apply_plan(t, keep_plan(SCORES, 6), num_prefix=1), (TOKENS,)),
    "apply_plan, keep_plan with a normalized fused token": (
        lambda t, w: apply_plan(t, fused_by(w), num_prefix=1),
        (TOKENS, SIZES),
    ),
    "apply_plan, keep_plan with a raw fused token": (
        lambda t, w: apply_plan(t, fused_by(w, normalize=False), num_prefix=1),
        (TOKENS, SIZES),
    ),
    "apply_plan, merge_plan": (lambda t, s: apply_plan(t, merge_plan(KEEP, TARGET, s), num_prefix=1), (TOKENS, SIZES)),
    "apply_plan merging and fusing": (lambda t, w: apply_plan(t, merged_and_fused(w), num_prefix=1), (TOKENS, SIZES)),
    "apply_plan, bipartite_merge_plan": (
        lambda t, s: apply_plan(t, bipartite_merge_plan(edges(t), 2, s, num_prefix=1), num_prefix=1),
        (TOKENS, SIZES),
    ),
    "similarity_of_halves": (edges, (TOKENS,)),
    "carry_weights": (lambda w: _weights(carry_weights(w, merge_plan(KEEP, TARGET, SIZES))), (SIZES,)),
    "carry_weights of its own": (
        lambda w: _weights(carry_weights(SIZES, replace(merge_plan(KEEP, TARGET), key_weights=w))),
        (SIZES[:, :3],),
    ),
    "gather_tokens": (lambda t: gather_tokens(t, KEEP), (TOKENS,)),
    "scatter_back": (lambda t: scatter_back(t, compose(TARGET, keep_plan(SIZES[:, :3], 2))), (TOKENS[:, :2],)),
    "mean_over_ranks": (lambda v, w: mean_over_ranks(v, w), (SCORES, SIZES)),
    "gather_rows, gather_together": (lambda t, s: ops.gather_rows(t) + ops.gather_together([s])[0], (SCORES, SIZES)),
    "repeat_rows": (lambda t: ops.repeat_rows(t, 3), (SCORES,)),
    "at_least_float32": (ops.at_least_float32, (SCORES,)),
    "to_device": (lambda scores: ops.to_device(scores, "cpu"), (SCORES,)),
    "shares_of_box": (
        lambda b: shares_of_box(b, (2, 3)),
        (torch.tensor([[0.1, 0.2, 0.55, 0.9]], dtype=torch.float64),),
    ),
}


def _weights(weights: Tensor | None) -> Tensor:
    assert weights is not None
    return weights


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    function, inputs = CASES[name]
    assert torch.autograd.gradcheck(function, tuple(tensor.clone().requires_grad_() for tensor in inputs))


def test_every_op_is_checked_or_has_no_gradient() -> None:
    checked = {name for name in ops.__all__ if any(name in case for case in CASES)}
    assert checked | WITHOUT_GRADIENT == set(ops.__all__)
    assert not patch_centres((2, 2), torch.device("cpu")).requires_grad
