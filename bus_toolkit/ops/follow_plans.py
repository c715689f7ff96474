"""Original patches and weights of keys followed through token plans.

Shape suffixes as in ``token_plan``; N may also count the original patches of an image.
"""

from __future__ import annotations

from torch import Tensor

from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.ops.token_plan import DROPPED, TokenPlan


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
