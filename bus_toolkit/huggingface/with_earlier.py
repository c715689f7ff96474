"""Decisions that leave what earlier turns decided as it was."""

from __future__ import annotations

import torch

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.turns import Earlier
from bus_toolkit.huggingface.unit_groups import UnitGroup
from bus_toolkit.ops.make_plans import keep_marked
from bus_toolkit.structures import Decision


def with_earlier(decision: Decision, group: UnitGroup, earlier: Earlier) -> Decision:
    """Return a decision on (U, N) tokens that leaves what earlier turns decided as they did.

    Raises:
        ComponentError: It does more than drop tokens.
    """
    plan, rows = decision.plan, group.rows
    if plan.fused or plan.merging or (plan.key_weights is not None and not plan.may_hide):
        raise ComponentError(
            "reduce_tokens: turns='union' and turns='keep' need a selector that drops tokens, got one that fuses, "
            "merges or weighs them. Use turns='each', or a selector with fuse: none."
        )
    kept = torch.zeros_like(plan.slots, dtype=torch.bool).scatter_(1, plan.keep_indices, True)
    if plan.key_weights is not None:
        kept = kept.scatter(1, plan.keep_indices, plan.key_weights > 0)
    stayed = earlier.kept[rows].gather(1, group.places)
    known = earlier.known[rows].gather(1, group.places)
    kept = torch.where(known, stayed, kept) if earlier.final else kept | stayed
    return decision._replace(plan=keep_marked(decision.scores, kept, kept.shape[1]))
