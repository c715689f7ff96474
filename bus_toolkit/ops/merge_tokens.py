"""Tokens that meet in the slots of a merging plan, with a gradient that is one look-up.

Shape suffixes as in ``token_plan``; P prefix tokens, R tokens that join others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bus_toolkit.ops.token_plan import TokenPlan


def merge_tokens(tokens_BND: Tensor, plan: TokenPlan, *, num_prefix: int = 0) -> Tensor:
    """Return the prefix tokens and the founded slots (B, P + K, D): sums of the tokens in them, each by its weight.

    What the plan drops or fuses is in none of them. A token that is alone in its slot is copied, whatever its weight.

    Args:
        tokens_BND: (B, P + N, D), P prefix tokens first, which stay.
        plan: A plan for the N tokens after them.
        num_prefix: P.
    """
    weights_BN = plan.weights.to(tokens_BND.dtype)
    merged: Tensor = _Merge.apply(tokens_BND, weights_BN, plan.keep_indices, plan.slots, num_prefix)
    return merged


def gather_tokens(tokens_BND: Tensor, indices_BK: Tensor) -> Tensor:
    """Return the tokens (B, K, D) at ``indices_BK``.

    Whole rows are copied: on the CPU about seven times faster than ``Tensor.gather``, which looks up each number.
    """
    rows = tokens_BND.flatten(0, 1).index_select(0, _flat(indices_BK, tokens_BND.shape[1]))
    return rows.unflatten(0, indices_BK.shape)


def after_prefix(indices_BK: Tensor, num_prefix: int) -> Tensor:
    """Return places in a sequence with P prefix tokens, (B, P + K): all of these, then ``indices_BK`` of the others."""
    if not num_prefix:
        return indices_BK
    prefix_BP = torch.arange(num_prefix, device=indices_BK.device).expand(indices_BK.shape[0], num_prefix)
    return torch.cat([prefix_BP, indices_BK + num_prefix], dim=1)


class _Joining(NamedTuple):
    """Tokens that join a slot which another one founded: their places, slots and whether they really do, all (B, R)."""

    others: Tensor
    slots: Tensor
    joins: Tensor
    counts_BK: Tensor

    @classmethod
    def of(cls, keep_BK: Tensor, slots_BN: Tensor) -> _Joining:
        count, num_inputs = keep_BK.shape[1], slots_BN.shape[1]
        founding_BN = torch.zeros_like(slots_BN, dtype=torch.bool).scatter_(1, keep_BK, 1)
        # False sorts before True: the first N - K places are the tokens that start no slot, in order.
        others_BR = founding_BN.to(torch.uint8).argsort(dim=1, stable=True)[:, : num_inputs - count]
        slots_BR = slots_BN.gather(1, others_BR)
        # What is dropped, or goes into the fused token, adds nothing here.
        joins_BR = (slots_BR >= 0) & (slots_BR < count)
        # A valid index for those that do not join.
        slots_BR = slots_BR.clamp(min=0, max=count - 1)
        # Counted exactly: half precision rounds counts above 256 or 2048.
        counts_BK = slots_BN.new_zeros(keep_BK.shape).scatter_add(1, slots_BR, joins_BR.to(torch.int64))
        return cls(others_BR, slots_BR, joins_BR, counts_BK)


class _Merge(torch.autograd.Function):
    """Sums of the tokens of each slot.

    Going forward only the rows that meet are touched. A token that goes to slot k with weight w gets w times the
    gradient of slot k, so that going backward is one look-up for all tokens, however they were added up.
    """

    @staticmethod
    def forward(
        ctx: Any, tokens_BND: Tensor, weights_BN: Tensor, keep_BK: Tensor, slots_BN: Tensor, num_prefix: int
    ) -> Tensor:
        # A founding token of weight w is there with weight 1 already, so those that join it bring the missing w - 1
        # along, in equal parts. Example: tokens a, b, c of sizes 2, 1, 1; a and c start the slots, b joins a. The
        # slot's mean is 2/3 a + 1/3 b, so the weights are [2/3, 1/3, 1]. The sums start as [a, c], with a at weight 1.
        # b is the only other token (R = 1): it adds its own 1/3 b and the missing (2/3 - 1) a, which makes
        # a + 1/3 b - 1/3 a. Had two tokens joined a, each would bring half of what is missing.
        joining = _Joining.of(keep_BK, slots_BN)
        joins_BR = joining.joins.to(weights_BN.dtype)
        founders_BR = keep_BK.gather(1, joining.slots)
        shared_BR = joining.counts_BK.gather(1, joining.slots).clamp(min=1)
        missing_BR = (weights_BN.gather(1, founders_BR) - 1.0) / shared_BR
        own_BR = weights_BN.gather(1, joining.others) * joins_BR
        sums_BSD = gather_tokens(tokens_BND, after_prefix(keep_BK, num_prefix))
        added_BRD = gather_tokens(tokens_BND, joining.others + num_prefix).mul_(own_BR.unsqueeze(-1))
        founders_BRD = gather_tokens(tokens_BND, founders_BR + num_prefix)
        added_BRD.addcmul_(founders_BRD, (missing_BR * joins_BR).unsqueeze(-1))
        # (B, K, D) -> (B K, D) is a view of freshly gathered tokens, so adding in place touches nobody's input.
        places = _flat(joining.slots + num_prefix, sums_BSD.shape[1])
        sums_BSD.flatten(0, 1).index_add_(0, places, added_BRD.flatten(0, 1))
        is_read = ctx.needs_input_grad[1]  # the gradient of the weights alone asks for the tokens
        ctx.save_for_backward(weights_BN, keep_BK, slots_BN, joining.counts_BK, tokens_BND if is_read else None)
        ctx.num_prefix = num_prefix
        return sums_BSD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (grad_BSD,) = gradients
        weights_BN, keep_BK, slots_BN, counts_BK, tokens_BND = ctx.saved_tensors
        num_prefix, count = ctx.num_prefix, keep_BK.shape[1]
        in_slot_BN = (slots_BN >= 0) & (slots_BN < count)
        slots_BN = slots_BN.clamp(min=0, max=count - 1)
        grad_BND = gather_tokens(grad_BSD, after_prefix(slots_BN, num_prefix))
        meets_BN = in_slot_BN & (counts_BK.gather(1, slots_BN) > 0)
        grad_weights_BN = None
        if tokens_BND is not None:
            products_BN = (grad_BND[:, num_prefix:] * tokens_BND[:, num_prefix:]).sum(dim=-1)
            grad_weights_BN = products_BN.masked_fill(~meets_BN, 0.0)
        factors_BN = torch.where(meets_BN, weights_BN, in_slot_BN.to(weights_BN.dtype))
        grad_BND[:, num_prefix:].mul_(factors_BN.unsqueeze(-1))
        return grad_BND, grad_weights_BN, None, None, None


def _flat(indices_BK: Tensor, length: int) -> Tensor:
    """Return positions in sequences of ``length`` as positions in all of them, one after the other, (B K,)."""
    starts_B = torch.arange(indices_BK.shape[0], device=indices_BK.device) * length
    return (indices_BK + starts_B.unsqueeze(1)).flatten()
