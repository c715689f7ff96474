"""Token plans: for every input token, the output slot it goes to and its weight there.

Keeping, dropping, fusing the rest into one token and merging pairs are all cases of one plan, so that a backbone
applies any selector's decision by one function and pictures, grounding and tests can follow every original patch to
where it ended.

Shape suffixes: B batch, N input tokens, K founding (kept) tokens, S output slots (K, plus one with a fused token), D
width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.short_repr import ShortRepr

DROPPED = -1


@dataclass(frozen=True, repr=False)
class TokenPlan(ShortRepr):
    """Where each of N tokens goes.

    Attributes:
        keep_indices: int64 (B, K), each index once; output slot k is founded by input token ``keep_indices[:, k]``, so
            this is the order of the output: ascending (positional), unless the plan merges, which may reorder.
        slots: int64 (B, N), the output slot of each input token, ``DROPPED`` (-1) for none.
        weights: float (B, N), the weight of each input token in its slot; 1 for a token that is kept alone.
        fused: Whether slot K is one extra token, the weighted sum of tokens that were not kept.
        merging: Whether the kept slots take up other tokens too (then they are sums, not copies), or are in another
            order than they came.
        may_be_empty: Whether in some images no token goes to the fused slot. Its token is zero then and counts nowhere:
            not as a key in later blocks, nor for what reads the tokens after the backbone.
        key_weights: float (B, S), how much each output token counts as a key in the attention of later blocks: its size
            (ToMe's proportional attention), or a soft mask. ``None`` leaves what earlier plans said.
        may_hide: Whether a key weight of 0 hides a token: it stays in the sequence, and nothing after the backbone
            reads it either.
    """

    keep_indices: Tensor
    slots: Tensor
    weights: Tensor
    fused: bool = False
    merging: bool = False
    key_weights: Tensor | None = None
    may_be_empty: bool = False
    may_hide: bool = False

    @property
    def num_inputs(self) -> int:
        """Number of input tokens N."""
        return self.slots.shape[1]

    @property
    def num_slots(self) -> int:
        """Number of output tokens S."""
        return self.keep_indices.shape[1] + int(self.fused)

    @property
    def is_identity(self) -> bool:
        """Whether every token is kept as it is, so that nothing needs to be computed."""
        return not (self.merging or self.fused) and self.keep_indices.shape[1] == self.num_inputs

    def repeat_each(self, times: int) -> TokenPlan:
        """Return the plan of every image ``times`` times in a row."""
        return replace(
            self,
            keep_indices=repeat_rows(self.keep_indices, times),
            slots=repeat_rows(self.slots, times),
            weights=repeat_rows(self.weights, times),
            key_weights=repeat_rows(self.key_weights, times),
        )


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


def apply_plan(tokens_BND: Tensor, plan: TokenPlan, *, num_prefix: int = 0) -> Tensor:
    """Return the output tokens (B, P + S, D) of ``plan`` for ``tokens_BND``, (B, P + N, D).

    Kept tokens are one gather, together with the prefix; only what is fused or merged into others costs more. An
    identity plan returns its input.

    Args:
        tokens_BND: Tokens, P prefix tokens first, which stay.
        plan: A plan for the N tokens after them.
        num_prefix: P.
    """
    if plan.is_identity:
        return tokens_BND
    kept_BK = plan.keep_indices + num_prefix
    if num_prefix:
        prefix_BP = torch.arange(num_prefix, device=kept_BK.device).expand(kept_BK.shape[0], num_prefix)
        kept_BK = torch.cat([prefix_BP, kept_BK], dim=1)
    out_BSD = gather_tokens(tokens_BND, kept_BK)
    weights_BN = plan.weights.to(tokens_BND.dtype)
    if plan.merging:
        out_BSD = _merge(tokens_BND, out_BSD, plan, weights_BN, num_prefix)
    if not plan.fused:
        return out_BSD
    rest_BN = weights_BN.masked_fill(plan.slots != plan.num_slots - 1, 0.0)
    fused_B1D = torch.bmm(rest_BN.unsqueeze(1), tokens_BND[:, num_prefix:])
    return torch.cat([out_BSD, fused_B1D], dim=1)


def _merge(tokens_BND: Tensor, kept_BKD: Tensor, plan: TokenPlan, weights_BN: Tensor, num_prefix: int) -> Tensor:
    """Add to the tokens that founded a slot, in place, those that did not, each by its weight.

    Only the rows that meet are touched. A founding token of weight w is there with weight 1 already, so those that join
    it bring the missing w - 1 along, in equal parts.
    """
    # Example: tokens a, b, c of sizes 2, 1, 1; a and c start the slots, b joins a. The slot's mean is 2/3 a + 1/3 b, so
    # plan.weights is [2/3, 1/3, 1]. kept_BKD starts as [a, c], with a at weight 1. b is the only other token (R = 1):
    # it adds its own 1/3 b and the missing (2/3 - 1) a, which makes a + 1/3 b - 1/3 a. Had two tokens joined a, each
    # would bring half of what is missing.
    count = plan.keep_indices.shape[1]
    founding_BN = torch.zeros_like(plan.slots, dtype=torch.bool).scatter_(1, plan.keep_indices, 1)
    # False sorts before True: the first N - K places are the tokens that start no slot, in order.
    others_BR = founding_BN.to(torch.uint8).argsort(dim=1, stable=True)[:, : plan.num_inputs - count]
    slots_BR = plan.slots.gather(1, others_BR)
    # What is dropped, or goes into the fused token, adds nothing here.
    joins_BR = ((slots_BR >= 0) & (slots_BR < count)).to(weights_BN.dtype)
    # A valid index for those that do not join; their weights below are 0.
    slots_BR = slots_BR.clamp(min=0, max=count - 1)
    founders_BR = plan.keep_indices.gather(1, slots_BR)
    # Counted exactly: half precision rounds counts above 256 or 2048.
    joining_BK = plan.slots.new_zeros(joins_BR.shape[0], count).scatter_add(1, slots_BR, joins_BR.to(torch.int64))
    joining_BR = joining_BK.gather(1, slots_BR).clamp(min=1)
    missing_BR = (weights_BN.gather(1, founders_BR) - 1.0) / joining_BR
    own_BR = weights_BN.gather(1, others_BR) * joins_BR
    added_BRD = gather_tokens(tokens_BND, others_BR + num_prefix) * own_BR.unsqueeze(-1)
    added_BRD = added_BRD + gather_tokens(tokens_BND, founders_BR + num_prefix) * (missing_BR * joins_BR).unsqueeze(-1)
    # (B, K, D) -> (B K, D) is a view of the freshly gathered tokens, so adding in place touches nobody's input.
    kept_BKD.flatten(0, 1).index_add_(0, _flat(slots_BR + num_prefix, kept_BKD.shape[1]), added_BRD.flatten(0, 1))
    return kept_BKD


def gather_tokens(tokens_BND: Tensor, indices_BK: Tensor) -> Tensor:
    """Return the tokens (B, K, D) at ``indices_BK``.

    Whole rows are copied: on the CPU about seven times faster than ``Tensor.gather``, which looks up each number.
    """
    rows = tokens_BND.flatten(0, 1).index_select(0, _flat(indices_BK, tokens_BND.shape[1]))
    return rows.unflatten(0, indices_BK.shape)


def _flat(indices_BK: Tensor, length: int) -> Tensor:
    """Return positions in sequences of ``length`` as positions in all of them, one after the other, (B K,)."""
    starts_B = torch.arange(indices_BK.shape[0], device=indices_BK.device) * length
    return (indices_BK + starts_B.unsqueeze(1)).flatten()


def compose(first_slots_BN: Tensor, second: TokenPlan) -> Tensor:
    """Follow a map of the original patches through one more plan.

    Args:
        first_slots_BN: int64 (B, N), the token each original patch is in now, or -1.
        second: A plan over those tokens.

    Returns:
        int64 (B, N), the token each original patch is in afterwards, or -1.
    """
    present_BN = first_slots_BN >= 0
    followed_BN = second.slots.gather(1, first_slots_BN.clamp(min=0))
    return followed_BN.masked_fill(~present_BN, DROPPED)


def carry_weights(key_weights_BN: Tensor | None, plan: TokenPlan) -> Tensor | None:
    """Return the key weights (B, S) after a plan: its own, else those of the tokens in each slot, summed.

    Where all tokens counted alike, all still do, but for a fused token that is empty: 0.
    """
    if plan.key_weights is not None:
        return plan.key_weights
    if key_weights_BN is None:
        return patches_in_tokens(plan.slots, plan.num_slots).gt(0).to(plan.weights.dtype) if plan.may_be_empty else None
    if plan.is_identity:
        return key_weights_BN
    gone_BN = plan.slots < 0
    sums_BS = key_weights_BN.new_zeros(key_weights_BN.shape[0], plan.num_slots)
    return sums_BS.scatter_add(1, plan.slots.clamp(min=0), key_weights_BN.masked_fill(gone_BN, 0.0))


def patches_in_tokens(origin_BN: Tensor, num_tokens: int) -> Tensor:
    """Return how many original patches are in each of the tokens, int64 (B, S).

    Args:
        origin_BN: int64 (B, N), the token each original patch is in, or -1.
        num_tokens: S.
    """
    counts_BS = origin_BN.new_zeros(origin_BN.shape[0], num_tokens)
    return counts_BS.scatter_add(1, origin_BN.clamp(min=0), (origin_BN >= 0).to(origin_BN.dtype))


def scatter_back(tokens_BSD: Tensor, origin_BN: Tensor) -> Tensor:
    """Give every original patch the token it ended in, (B, N, D); zeros where it was dropped."""
    spread_BND = gather_tokens(tokens_BSD, origin_BN.clamp(min=0))
    return spread_BND.masked_fill((origin_BN < 0).unsqueeze(-1), 0.0)
