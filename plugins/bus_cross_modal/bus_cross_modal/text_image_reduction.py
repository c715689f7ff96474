"""What PuMer takes out of a pair of streams: image tokens that no word looks at, and tokens alike in either stream.

Shape suffixes: B batch, H heads, L text tokens, N candidates (a stream without its protected first tokens), E width of
the metric, A and C candidates of ToMe's first and second set, K candidates left. All choices are without gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bus_toolkit.ops import (
    TokenPlan,
    bipartite_halves,
    bipartite_merge_plan,
    carry_weights,
    gather_tokens,
    keep_plan,
    merge_plan,
    similarity_of_halves,
)


@torch.no_grad()
def attention_of_text(
    queries_BHLE: Tensor, keys_BHNE: Tensor, mask_BL: Tensor, unread_BN: Tensor | None = None
) -> Tensor:
    """Return the attention that each image token gets, mean of the heads and of the text tokens that are no padding.

    Args:
        queries_BHLE: Queries of the text.
        keys_BHNE: Keys of the image.
        mask_BL: Which text tokens are no padding.
        unread_BN: Which image tokens get none; all get some when not given.
    """
    scaled_BHEN = keys_BHNE.transpose(-1, -2) / keys_BHNE.shape[-1] ** 0.5
    logits_BHLN = queries_BHLE @ scaled_BHEN
    if unread_BN is not None:
        logits_BHLN = logits_BHLN.masked_fill(unread_BN[:, None, None, :], -math.inf)
    rows_BLN = logits_BHLN.softmax(dim=-1).mean(dim=1) * mask_BL.unsqueeze(-1)
    return rows_BLN.sum(dim=1) / mask_BL.sum(dim=1, keepdim=True).clamp(min=1)


@torch.no_grad()
def image_plans(
    scores_BN: Tensor,
    metric_BNE: Tensor,
    sizes_BN: Tensor,
    *,
    prune_ratio: float,
    merge_ratio: float,
    num_prefix: int,
) -> list[TokenPlan]:
    """Return plans, one after the other: keep the best-scored tokens in the order they have, merge those most alike.

    Both ratios are of the N candidates, and counts are rounded down; at most half of what is kept is merged away.
    Merging leaves ToMe's order.

    Args:
        scores_BN: What tokens are kept by.
        metric_BNE: What tokens are compared by.
        sizes_BN: How many tokens each one contains.
        prune_ratio: Share removed, in [0, 1).
        merge_ratio: Share merged away, in [0, 0.5].
        num_prefix: Protected tokens before the candidates, which decide ToMe's two sets.
    """
    present, plans = scores_BN.shape[1], []
    if pruned := _count(present, prune_ratio):
        plans.append(keep_plan(scores_BN, present - pruned))
        metric_BNE = gather_tokens(metric_BNE, plans[0].keep_indices)
        sizes_BN = sizes_after(sizes_BN, plans[0])
    if merged := min(_count(present, merge_ratio), (present - pruned) // 2):
        edges_BAC = similarity_of_halves(metric_BNE, num_prefix=num_prefix)
        plans.append(bipartite_merge_plan(edges_BAC, merged, sizes_BN, num_prefix=num_prefix))
    return plans


@torch.no_grad()
def text_plans(metric_BNE: Tensor, mask_BN: Tensor, sizes_BN: Tensor, merge_ratio: float) -> list[TokenPlan]:
    """Return the plan, if any, that merges the share ``merge_ratio`` of each text's own tokens into those most alike.

    Padding never takes part. It is ToMe's matching, with [CLS] before the candidates and a number of merges that
    depends on the length of each text, not on that of the batch. The output is in ToMe's order, then padding; a text in
    which nothing merges stays as it is, as it does alone. All texts get as short as a full one does: in shorter ones
    padding goes as well, of which there is always enough, since a text shorter by one token has at most one merge less.
    Padding that is gone is said to be in some token, at weight 0. It is expected after the text.

    Args:
        metric_BNE: What tokens are compared by.
        mask_BN: Which tokens are no padding.
        sizes_BN: How many tokens each one contains; 0 for padding.
        merge_ratio: Share merged away, in [0, 0.5].
    """
    length = mask_BN.shape[1]
    left = length - _count(length, merge_ratio)
    if left == length:
        return []
    first, second = bipartite_halves(1)
    edges_BAC = similarity_of_halves(metric_BNE, num_prefix=1).masked_fill(~mask_BN[:, None, second], -math.inf)
    best_BA, partner_BA = edges_BAC.max(dim=2)
    best_BA = best_BA.masked_fill(~mask_BN[:, first], -math.inf)
    rank_BA = best_BA.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
    # In float64, as Python's own numbers, or 0.29 of 100 would not be 29 in both places.
    counts_B1 = (mask_BN.sum(dim=1, keepdim=True).double() * merge_ratio + 1e-9).floor()
    merged_BA = rank_BA < counts_B1

    # The groups of the new order: unmerged tokens of the first set, the second set, padding, what is merged away.
    groups_BN = torch.zeros_like(mask_BN, dtype=torch.int64)
    groups_BN[:, second] = (counts_B1 > 0).long()
    groups_BN = groups_BN.masked_fill(~mask_BN, 2)
    groups_BN[:, first] = groups_BN[:, first].masked_fill(merged_BA, 3)
    order_BN = groups_BN.sort(dim=1, stable=True).indices
    places_BN = order_BN.argsort(dim=1)
    target_BN = places_BN.clone()
    target_BN[:, first] = torch.where(merged_BA, places_BN[:, second].gather(1, partner_BA), places_BN[:, first])
    founding_BN = places_BN < left
    sizes_BN = sizes_BN.masked_fill(founding_BN & ~mask_BN, 1.0)
    return [merge_plan(order_BN[:, :left], target_BN.clamp(max=left - 1), sizes_BN)]


def sizes_after(sizes_BN: Tensor, plan: TokenPlan) -> Tensor:
    """Return how many tokens each output token of ``plan`` contains."""
    sizes_BK = carry_weights(sizes_BN, plan)
    assert sizes_BK is not None, "there are sizes, so they are carried"
    return sizes_BK


def _count(present: int, ratio: float) -> int:
    """Return a share of the tokens, rounded down, guarded against float error."""
    return int(present * ratio + 1e-9)
