"""Bipartite matching of similar tokens, and the plan that merges the best pairs.

ToMe (arXiv 2210.09461, section 3) splits the tokens into two sets in turn, lets each token of the first set name its
most similar one of the second, and merges the pairs with the highest scores. What is left is the first set's unmerged
tokens, then the second set: the next block splits that order. Written from the description and from the behaviour of
facebookresearch/ToMe:tome/merge.py, and checked against figures of its output over three merges in a row.

Shape suffixes: B batch, N tokens after the prefix, A and C tokens of the first and the second set, K tokens left, R
tokens merged away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.make_plans import identity_plan, merge_plan
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.ops.token_plan import TokenPlan


def bipartite_halves(num_prefix: int) -> tuple[slice, slice]:
    """Return which of the tokens after the prefix are ToMe's first set (those that merge away) and its second set.

    The places of the whole sequence count, prefix included: even ones are the first set, odd ones the second. So the
    first set is tokens 1, 3, ... with one class token, and 0, 2, ... with none or with a distillation token as well.
    For registers, which the published code does not know and would merge, the same rule is our choice.

    Args:
        num_prefix: Prefix tokens before the N tokens. They are in no pair.
    """
    return slice(num_prefix % 2, None, 2), slice(1 - num_prefix % 2, None, 2)


def similarity_of_halves(metric_BNE: Tensor, *, num_prefix: int) -> Tensor:
    """Return the cosine similarities (B, A, C) of each token of the first set with each one of the second.

    Args:
        metric_BNE: What the tokens after the prefix are compared by, such as keys averaged over the heads.
        num_prefix: Prefix tokens before them, which decide what the first set is (``bipartite_halves``).
    """
    metric_BNE = F.normalize(metric_BNE, dim=-1)
    first, second = bipartite_halves(num_prefix)
    return metric_BNE[:, first] @ metric_BNE[:, second].transpose(1, 2)


def bipartite_merge_plan(edges_BAC: Tensor, count: int, sizes_BN: Tensor, *, num_prefix: int) -> TokenPlan:
    """Merge the ``count`` tokens of the first set whose best edge is highest into their partners.

    The output is in the order of the published code: the unmerged tokens of the first set, then all of the second. The
    unmerged ones are in the order of the input; without prefix they are in falling order of their best edges, since
    the published code sorts them only where a class token must come first. No gradient flows through the choice. Ties
    go to the lower index (there to an unstable sort). A token of size 0, which holds nothing, merges away first, and
    others do not merge into it (our choice: there is none there).

    Args:
        edges_BAC: How much each token of the first set wants each one of the second.
        count: Number R of tokens to merge away, 0 to A; 0 leaves all tokens in their order.
        sizes_BN: How many patches each token contains; merged tokens are means weighted by it.
        num_prefix: Prefix tokens before the N tokens (``bipartite_halves``).

    Raises:
        ValueError: ``count`` is not in 0 to A.
    """
    batch, num_first, num_second = edges_BAC.shape
    most = num_first if num_second else 0
    if not 0 <= count <= most:
        raise ValueError(f"bipartite_merge_plan: count must be between 0 and {most}, got {count}.")
    if count == 0:
        return identity_plan(sizes_BN)
    first, second = bipartite_halves(num_prefix)
    edges_BAC = edges_BAC.detach().masked_fill((sizes_BN[:, second] == 0).unsqueeze(1), -torch.inf)
    best_BA = edges_BAC.amax(dim=2).masked_fill(sizes_BN[:, first] == 0, torch.inf)
    order_BA = best_BA.sort(dim=1, descending=True, stable=True).indices
    merged_BR, unmerged_BU = order_BA[:, :count], order_BA[:, count:]
    if num_prefix:
        unmerged_BU = unmerged_BU.sort(dim=1).values
    # Only those that merge need to know with whom: looking for places costs more than looking for values.
    partner_BR = gather_tokens(edges_BAC, merged_BR).argmax(dim=2)
    places_N = torch.arange(num_first + num_second, device=edges_BAC.device)
    first_A, second_C = places_N[first], places_N[second]
    keep_BK = torch.cat([first_A[unmerged_BU], second_C.expand(batch, -1)], dim=1)
    slots_BN = torch.empty_like(sizes_BN, dtype=torch.int64)
    slots_BN.scatter_(1, keep_BK, places_N[: keep_BK.shape[1]].expand(batch, -1))
    # The second set comes after the unmerged ones of the first.
    slots_BN.scatter_(1, first_A[merged_BR], num_first - count + partner_BR)
    return merge_plan(keep_BK, slots_BN, sizes_BN)
