"""Token plans from scores and targets: keep the best, keep what is marked, merge into others.

Shape suffixes as in ``token_plan``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.token_plan import DROPPED, TokenPlan


def num_kept(num_patches: int, keep_ratio: float) -> int:
    """Return how many patches a selector keeps: the share rounded down, guarded against float error, at least one.

    Raises:
        ValueError: ``keep_ratio`` is not in (0, 1].
    """
    if not 0.0 < keep_ratio <= 1.0:
        raise ValueError(f"num_kept: keep_ratio must be in (0, 1], got {keep_ratio}.")
    # 100 * 0.29 is 28.999999999999996 in binary floating point; no ratio that a person writes has 1e-9 of meaning.
    return max(1, int(num_patches * keep_ratio + 1e-9))


def top_indices(scores_BN: Tensor, count: int) -> Tensor:
    """Return the positions of the highest scores, ascending, int64 (B, count); ties go to the lower index."""
    order_BN = torch.sort(scores_BN, dim=1, descending=True, stable=True).indices
    return order_BN[:, :count].sort(dim=1).values


def identity_plan(like_BN: Tensor) -> TokenPlan:
    """Return the plan that keeps all tokens as they are; ``like_BN`` says how many, on which device and the dtype."""
    places_BN = torch.arange(like_BN.shape[1], device=like_BN.device).expand(like_BN.shape)
    return TokenPlan(places_BN, places_BN, torch.ones_like(like_BN))


def keep_plan(
    scores_BN: Tensor,
    count: int,
    *,
    fuse: bool = False,
    fuse_weights_BN: Tensor | None = None,
    normalize: bool = True,
    eps: float = 1e-6,
) -> TokenPlan:
    """Keep the ``count`` best tokens in positional order; drop the others or fuse them into one token.

    Args:
        scores_BN: Ranking scores (B, N).
        count: Number kept, 1 to N; N gives the identity, without a fused token.
        fuse: Whether the tokens that are not kept become one extra token.
        fuse_weights_BN: Non-negative weights (B, N) for the fused token; equal ones when not given. Gradient flows
            through them. Where those of all dropped tokens are 0, equal ones replace them, or the fused token would
            be zero and would still be read (our choice).
        normalize: Whether the weights of the fused token are divided by their sum (ELIP) or used raw (EViT).
        eps: Added to that sum, as ELIP does (guoyang9/ELIP:ALBEF/models/vit.py).

    Raises:
        ValueError: ``count`` is not in 1 to N.
    """
    batch, num_tokens = scores_BN.shape
    if not 1 <= count <= num_tokens:
        raise ValueError(f"keep_plan: count must be between 1 and {num_tokens} (tokens present), got {count}.")
    if count == num_tokens:
        return identity_plan(scores_BN)
    ones_BN = torch.ones_like(scores_BN)
    keep_BK = top_indices(scores_BN.detach(), count)
    slots_BN = torch.full_like(scores_BN, DROPPED, dtype=torch.int64)
    slots_BN.scatter_(1, keep_BK, torch.arange(count, device=scores_BN.device).expand(batch, count))
    if not fuse:
        return TokenPlan(keep_BK, slots_BN, (slots_BN >= 0).to(scores_BN.dtype))
    kept_BN = slots_BN >= 0
    weights_BN = ones_BN if fuse_weights_BN is None else fuse_weights_BN
    rest_BN = weights_BN.masked_fill(kept_BN, 0.0)
    total_B1 = rest_BN.sum(dim=1, keepdim=True)
    if normalize:
        rest_BN = rest_BN / (total_B1 + eps)
    rest_BN = torch.where(total_B1 == 0, ones_BN / (num_tokens - count), rest_BN)
    return TokenPlan(
        keep_BK,
        slots_BN.masked_fill(~kept_BN, count),
        torch.where(kept_BN, ones_BN, rest_BN),
        fused=True,
    )


def keep_marked(scores_BN: Tensor, marked_BN: Tensor, capacity: int) -> TokenPlan:
    """Keep the marked tokens, as many as an image has, in room for ``capacity``.

    A batch has one width, so an image with fewer marks fills its room with the best of the others, which are hidden
    (``may_hide``); of more marks the best stay. The best token of all stays if none is marked. The room is an argument,
    and not the largest number of marks, so that no image depends on its batch mates.

    Args:
        scores_BN: Ranking scores (B, N).
        marked_BN: bool (B, N).
        capacity: 1 to N.

    Raises:
        ValueError: ``capacity`` is not in 1 to N.
    """
    if not 1 <= capacity <= scores_BN.shape[1]:
        raise ValueError(
            f"keep_marked: capacity must be between 1 and {scores_BN.shape[1]} (tokens present), got {capacity}."
        )
    by_score_BN = torch.sort(scores_BN.detach(), dim=1, descending=True, stable=True).indices
    is_best_BN = torch.zeros_like(marked_BN).scatter_(1, by_score_BN[:, :1], True)
    marked_BN = torch.where(marked_BN.any(dim=1, keepdim=True), marked_BN, is_best_BN)
    # Marked ones first, each part by its scores: the sort is stable, and False comes before True.
    unmarked_BN = marked_BN.gather(1, by_score_BN).logical_not().to(torch.uint8)
    order_BN = by_score_BN.gather(1, unmarked_BN.argsort(dim=1, stable=True))
    keep_BK = order_BN[:, :capacity].sort(dim=1).values
    slots_BN = torch.full_like(keep_BK[:, :1], DROPPED).repeat(1, scores_BN.shape[1])
    slots_BN.scatter_(1, keep_BK, torch.arange(capacity, device=keep_BK.device).expand_as(keep_BK))
    weights_BN = (slots_BN >= 0).to(scores_BN.dtype)
    shown_BK = marked_BN.gather(1, keep_BK).to(scores_BN.dtype)
    return TokenPlan(keep_BK, slots_BN, weights_BN, key_weights=shown_BK, may_hide=True)


def share_of_mass(scores_BN: Tensor, share: float) -> Tensor:
    """Mark the fewest tokens that hold a share of the scores' sum, bool (B, N); ties go to the lower index.

    Args:
        scores_BN: Non-negative scores (B, N), such as a row of attention.
        share: In (0, 1]; 1 marks every token of a positive score.

    Raises:
        ValueError: ``share`` is not in (0, 1].
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share_of_mass: share must be in (0, 1], got {share}.")
    # Half precision would lose the tail of a long sum.
    scores_BN = scores_BN.detach().double()
    sorted_BN, order_BN = torch.sort(scores_BN, dim=1, descending=True, stable=True)
    before_BN = sorted_BN.cumsum(dim=1) - sorted_BN
    # 1e-9: sums of the same numbers differ by rounding.
    needed_BN = (before_BN < share * sorted_BN.sum(dim=1, keepdim=True) - 1e-9) & (sorted_BN > 0)
    return torch.zeros_like(needed_BN).scatter(1, order_BN, needed_BN)


def merge_plan(keep_BK: Tensor, target_BN: Tensor, sizes_BN: Tensor | None = None) -> TokenPlan:
    """Merge every token into one of the founding tokens by a size-weighted mean.

    Args:
        keep_BK: int64 (B, K), the tokens that start the output slots, each once, in the order of the output. All N of
            them give the identity: nothing is merged, and all stay in the order of the input.
        target_BN: int64 (B, N), for every token the slot 0 to K-1 that takes it up; a founding token names its own
            slot.
        sizes_BN: How many patches each token already contains; 1 each when not given.
    """
    if sizes_BN is None:
        sizes_BN = torch.ones(target_BN.shape, dtype=torch.float64, device=target_BN.device)
    if keep_BK.shape[1] == target_BN.shape[1]:
        return identity_plan(sizes_BN)
    totals_BK = torch.zeros(keep_BK.shape, device=sizes_BN.device, dtype=sizes_BN.dtype)
    totals_BK = totals_BK.scatter_add(1, target_BN, sizes_BN)
    # A token of size 0, such as an empty fused one, may be alone in its slot: weight 0, not 0 / 0.
    totals_BK = totals_BK.clamp(min=torch.finfo(totals_BK.dtype).tiny)
    return TokenPlan(keep_BK, target_BN, sizes_BN / totals_BK.gather(1, target_BN), merging=True)
