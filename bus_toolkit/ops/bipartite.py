"""Bipartite matching of similar tokens, and the plan that merges the best pairs.

ToMe (arXiv 2210.09461, section 3) splits the tokens into two sets in turn, lets each token of the first set name its
most similar one of the second, and merges the pairs with the highest scores. Written from its description and checked
against figures of its output.

Shape suffixes: B batch, N tokens, A and C tokens of the first and the second set, K tokens left, R tokens merged away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.token_plan import TokenPlan, gather_tokens, merge_plan


def similarity_of_halves(metric_BNE: Tensor) -> Tensor:
    """Return cosine similarities (B, A, C) of every second token, from the second on, with the others.

    With one CLS token before the patches, which is in the first set and never merged, these are ToMe's two sets.

    Args:
        metric_BNE: What tokens are compared by, such as keys averaged over the heads.
    """
    metric_BNE = F.normalize(metric_BNE, dim=-1)
    return metric_BNE[:, 1::2] @ metric_BNE[:, ::2].transpose(1, 2)


def bipartite_merge_plan(edges_BAC: Tensor, count: int, sizes_BN: Tensor) -> TokenPlan:
    """Merge the ``count`` tokens of the first set whose best edge is highest into their partners.

    No gradient flows through the choice. Ties go to the lower index.

    Args:
        edges_BAC: How much each token of the first set (places 1, 3, ...) wants each one of the second (0, 2, ...).
        count: Number R of tokens to merge away, 0 to A.
        sizes_BN: How many patches each token contains; merged tokens are means weighted by it.

    Raises:
        ValueError: ``count`` is not in 0 to A.
    """
    batch, num_first, num_second = edges_BAC.shape
    if not 0 <= count <= num_first:
        raise ValueError(f"bipartite_merge_plan: count must be between 0 and {num_first}, got {count}.")
    num_tokens = num_first + num_second
    edges_BAC = edges_BAC.detach()
    order_BA = edges_BAC.amax(dim=2).sort(dim=1, descending=True, stable=True).indices
    merged_BR = order_BA[:, :count].sort(dim=1).values
    # Only those that merge need to know with whom: looking for places costs more than looking for values.
    partner_BR = gather_tokens(edges_BAC, merged_BR).argmax(dim=2)
    gone_BN = torch.zeros(batch, num_tokens, dtype=torch.bool, device=edges_BAC.device)
    gone_BN.scatter_(1, 2 * merged_BR + 1, 1)
    keep_BK = torch.sort(gone_BN, dim=1, stable=True).indices[:, : num_tokens - count]
    target_BN = (~gone_BN).cumsum(dim=1) - 1
    slot_BR = target_BN.gather(1, 2 * partner_BR)
    return merge_plan(keep_BK, target_BN.scatter(1, 2 * merged_BR + 1, slot_BR), sizes_BN)
