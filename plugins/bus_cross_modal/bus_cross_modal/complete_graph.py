"""Complete-graph soft matching: any token may be merged into any other, the unimportant ones first.

arXiv 2305.17455 (CrossGET); written from the behaviour of sdc17/CrossGET:CLIP/clip/reducer.py and checked against
figures of its output for one merge. As there, what is left stays in the order it had. Unlike ToMe's two halves it looks
at all N^2 pairs, so it builds an N x N map.

Shape suffixes: B batch, N tokens, E width of the metric, K tokens left, R tokens merged away.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops import TokenPlan, merge_plan


def complete_graph_plan(metric_BNE: Tensor, importance_BN: Tensor, count: int, sizes_BN: Tensor) -> TokenPlan:
    """Merge the ``count`` tokens that are most redundant and least important into their most similar others.

    1. Tokens are ranked by the similarity to their nearest one. A token may go into those of a later rank only, so that
       of two that choose each other one stays.
    2. The ``count`` tokens of lowest ``importance - similarity to the nearest one allowed`` leave.
    3. Each goes into the most similar token that stays, whatever its rank.

    A pair is weighed by the softmax of its two importances, on top of the sizes. A token that takes up several has one
    such weight for each, and their differences to an even share add up. Weights of a slot therefore sum to 1 where all
    sizes in it are equal, and need not elsewhere.

    No gradient flows through choice or weights, as there. Ours: the similarities are made exactly symmetric and ties go
    to the lower index, where the published code leaves them to an unstable sort; nearest pairs always tie in step 1.

    Args:
        metric_BNE: What tokens are compared by, such as keys averaged over the heads.
        importance_BN: How much each token matters, on the scale of a cosine.
        count: Number R of tokens to merge away, 0 to half of N.
        sizes_BN: How many patches each token contains.

    Raises:
        ValueError: ``count`` is not in 0 to half of N.
    """
    batch, num_tokens = importance_BN.shape
    if not 0 <= count <= num_tokens // 2:
        raise ValueError(f"complete_graph_plan: count must be between 0 and {num_tokens // 2}, got {count}.")
    importance_BN = importance_BN.detach()
    similarity_BNN = _similarities(metric_BNE.detach())
    nearest_BN = similarity_BNN.amax(dim=2)
    rank_BN = nearest_BN.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
    too_early_BNN = rank_BN.unsqueeze(1) <= rank_BN.unsqueeze(2)
    redundancy_BN = similarity_BNN.masked_fill(too_early_BNN, -math.inf).amax(dim=2)
    merged_BR = (importance_BN - redundancy_BN).sort(dim=1, stable=True).indices[:, :count]
    gone_BN = torch.zeros(batch, num_tokens, dtype=torch.bool, device=metric_BNE.device).scatter_(1, merged_BR, True)
    partner_BN = similarity_BNN.masked_fill(gone_BN.unsqueeze(1), -math.inf).argmax(dim=2)
    partner_BR = partner_BN.gather(1, merged_BR)

    keep_BK = torch.sort(gone_BN, dim=1, stable=True).indices[:, : num_tokens - count]
    slots_BN = (~gone_BN).cumsum(dim=1) - 1
    slots_BN = slots_BN.scatter(1, merged_BR, slots_BN.gather(1, partner_BR))
    plan = merge_plan(keep_BK, slots_BN, sizes_BN)
    # The softmax of two numbers is a sigmoid of their difference; twice it is 1 where both matter alike.
    share_BR = 2 * torch.sigmoid(importance_BN.gather(1, merged_BR) - importance_BN.gather(1, partner_BR))
    share_BR = share_BR.to(plan.weights.dtype)
    factors_BN = torch.ones_like(plan.weights).scatter(1, merged_BR, share_BR).scatter_add(1, partner_BR, 1 - share_BR)
    return replace(plan, weights=plan.weights * factors_BN)


def _similarities(metric_BNE: Tensor) -> Tensor:
    """Return the cosine of every two tokens, bit for bit symmetric, and -inf of each with itself."""
    metric_BNE = F.normalize(metric_BNE, dim=-1)
    similarity_BNN = metric_BNE @ metric_BNE.transpose(1, 2)
    similarity_BNN = (similarity_BNN + similarity_BNN.transpose(1, 2)) / 2
    itself_NN = torch.eye(metric_BNE.shape[1], dtype=torch.bool, device=metric_BNE.device)
    return similarity_BNN.masked_fill(itself_NN, -math.inf)
