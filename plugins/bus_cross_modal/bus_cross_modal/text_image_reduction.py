"""What PuMer takes out of a pair of streams: image tokens that no word looks at, and tokens alike in either stream.

Shape suffixes: B batch, H heads, L text tokens, N candidates (a stream without its protected first tokens), E width of
the metric, A and C candidates at odd and even places, K candidates left. All choices are without gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bus_toolkit.ops import (
    TokenPlan,
    bipartite_merge_plan,
    carry_weights,
    gather_tokens,
    keep_plan,
    merge_plan,
    similarity_of_halves,
)


@torch.no_grad()
def attention_of_text(queries_BHLE: Tensor, keys_BHNE: Tensor, mask_BL: Tensor) -> Tensor:
    """Return the attention that each image token gets, mean of the heads and of the text tokens that are no padding."""
    scaled_BHEN = keys_BHNE.transpose(-1, -2) / keys_BHNE.shape[-1] ** 0.5
    logits_BHLN = queries_BHLE @ scaled_BHEN
    rows_BLN = logits_BHLN.softmax(dim=-1).mean(dim=1) * mask_BL.unsqueeze(-1)
    return rows_BLN.sum(dim=1) / mask_BL.sum(dim=1, keepdim=True).clamp(min=1)


@torch.no_grad()
def image_plans(
    scores_BN: Tensor, metric_BNE: Tensor, sizes_BN: Tensor, prune_ratio: float, merge_ratio: float
) -> list[TokenPlan]:
    """Return plans, one after the other: keep the best-scored tokens in positional order, merge those most alike.

    Both ratios are of the N candidates, and counts are rounded down; at most half of what is kept is merged away.

    Args:
        scores_BN: What tokens are kept by.
        metric_BNE: What tokens are compared by.
        sizes_BN: How many tokens each one contains.
        prune_ratio: Share removed, in [0, 1).
        merge_ratio: Share merged away, in [0, 0.5].
    """
    present, plans = scores_BN.shape[1], []
    if pruned := _count(present, prune_ratio):
        plans.append(keep_plan(scores_BN, present - pruned))
        metric_BNE = gather_tokens(metric_BNE, plans[0].keep_indices)
        sizes_BN = sizes_after(sizes_BN, plans[0])
    if merged := min(_count(present, merge_ratio), (present - pruned) // 2):
        plans.append(bipartite_merge_plan(similarity_of_halves(metric_BNE), merged, sizes_BN))
    return plans


@torch.no_grad()
def text_plans(metric_BNE: Tensor, mask_BN: Tensor, sizes_BN: Tensor, merge_ratio: float) -> list[TokenPlan]:
    """Return the plan, if any, that merges the share ``merge_ratio`` of each text's own tokens into those most alike.

    Padding never takes part. It is ToMe's matching with a number of merges that depends on the length of each text, not
    on that of the batch. All texts get as short as a full one does: in shorter ones padding goes as well, of which
    there is always enough, since a text shorter by one token has at most one merge less. Padding that is gone is said
    to be in some token, at weight 0. It is expected after the text.

    Args:
        metric_BNE: What tokens are compared by.
        mask_BN: Which tokens are no padding.
        sizes_BN: How many tokens each one contains; 0 for padding.
        merge_ratio: Share merged away, in [0, 0.5].
    """
    batch, length = mask_BN.shape
    left = length - _count(length, merge_ratio)
    if left == length:
        return []
    edges_BAC = similarity_of_halves(metric_BNE).masked_fill(~mask_BN[:, None, ::2], -math.inf)
    best_BA, partner_BA = edges_BAC.max(dim=2)
    best_BA = best_BA.masked_fill(~mask_BN[:, 1::2], -math.inf)
    rank_BA = best_BA.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
    # In float64, as Python's own numbers, or 0.29 of 100 would not be 29 in both places.
    counts_B1 = (mask_BN.sum(dim=1, keepdim=True).double() * merge_ratio + 1e-9).floor()
    merged_BA = rank_BA < counts_B1

    target_BN = torch.arange(length, device=mask_BN.device).repeat(batch, 1)
    target_BN[:, 1::2] = torch.where(merged_BA, 2 * partner_BA, target_BN[:, 1::2])
    gone_BN = torch.zeros_like(mask_BN)
    gone_BN[:, 1::2] = merged_BA
    # Text that stays, then padding, then what is merged away: the first ones of this order start the new tokens.
    order_BN = (2 * gone_BN + (~mask_BN).long()).sort(dim=1, stable=True).indices
    keep_BK = order_BN[:, :left].sort(dim=1).values
    founding_BN = torch.zeros_like(mask_BN).scatter_(1, keep_BK, True)
    slots_BN = (founding_BN.cumsum(dim=1) - 1).clamp(min=0).gather(1, target_BN)
    return [merge_plan(keep_BK, slots_BN, sizes_BN.masked_fill(founding_BN & ~mask_BN, 1.0))]


def sizes_after(sizes_BN: Tensor, plan: TokenPlan) -> Tensor:
    """Return how many tokens each output token of ``plan`` contains."""
    sizes_BK = carry_weights(sizes_BN, plan)
    assert sizes_BK is not None, "there are sizes, so they are carried"
    return sizes_BK


def _count(present: int, ratio: float) -> int:
    """Return a share of the tokens, rounded down, guarded against float error."""
    return int(present * ratio + 1e-9)
