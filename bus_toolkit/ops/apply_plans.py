"""Token plans applied to tokens.

Shape suffixes as in ``token_plan``; P prefix tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.merge_tokens import after_prefix, gather_tokens, merge_tokens
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
    if plan.merging:
        out_BSD = merge_tokens(tokens_BND, plan, num_prefix=num_prefix)
    else:
        out_BSD = gather_tokens(tokens_BND, after_prefix(plan.keep_indices, num_prefix))
    if not plan.fused:
        return out_BSD
    weights_BN = plan.weights.to(tokens_BND.dtype)
    rest_BN = weights_BN.masked_fill(plan.slots != plan.num_slots - 1, 0.0)
    fused_B1D = torch.bmm(rest_BN.unsqueeze(1), tokens_BND[:, num_prefix:])
    return torch.cat([out_BSD, fused_B1D], dim=1)
