"""Token plans applied to tokens.

Shape suffixes as in ``token_plan``; P prefix tokens, R tokens that join others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.token_plan import TokenPlan


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
