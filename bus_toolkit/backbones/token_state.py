"""The tokens of a pass between two blocks, and what has become of the original patches."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.backbones.adapters.base import States
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.follow_plans import carry_weights, compose, patches_in_tokens
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.structures import Decision, Selection


@dataclass
class TokenState:
    """Tokens on their way through the blocks.

    Attributes:
        tokens: (B, P + S, D), prefix tokens first.
        origin: int64 (B, N), the token that each original patch is in, or -1.
        positions: Where the S patch tokens are in the image.
        block_input: (B, P + S, D), what the current block's attention reads or has read.
        key_weights: (B, S), how much each token counts as a key; ``None`` if all count alike.
        used: Queries, keys and values (B, H, P + S, E) that the current block's attention has just used.
        scores: (B, S), the score of each token from the last selector; ``None`` where that does not rank.
        scores_are_logits: Whether a patch-text head may train them.
        selections: What the selectors have decided, in order.
    """

    tokens: Tensor
    origin: Tensor
    positions: TokenPositions
    block_input: Tensor | None = None
    key_weights: Tensor | None = None
    used: States | None = None
    scores: Tensor | None = None
    scores_are_logits: bool = False
    selections: list[Selection] = field(default_factory=list)

    def unread(self, num_prefix: int) -> Tensor | None:
        """Return which tokens must not be read, bool (B, P + S): empty, hidden; ``None`` if no plan has such."""
        plans = [selection.decision.plan for selection in self.selections]
        if not any(plan.may_be_empty or plan.may_hide for plan in plans):
            return None
        unread_BS = patches_in_tokens(self.origin, self.tokens.shape[1] - num_prefix) == 0
        if self.key_weights is not None and any(plan.may_hide for plan in plans):
            unread_BS = unread_BS | (self.key_weights == 0)
        # Prefix tokens hold no patches and are read all the same.
        return F.pad(unread_BS, (num_prefix, 0))

    def reduce(self, decision: Decision, *, block: int, num_prefix: int, ranks: bool) -> None:
        """Carry out a selector's decision.

        Args:
            decision: The decision, over the S tokens after the prefix.
            block: The block of the selector, counted from 1.
            num_prefix: P.
            ranks: Whether its scores are an order of importance.
        """
        plan = decision.plan
        self.selections.append(Selection(decision, block, self.origin))
        self.scores = _scores_of_slots(decision.scores, plan) if ranks else None
        self.scores_are_logits = ranks and decision.supervised
        # Also for an identity plan: a soft mask keeps every token and still weighs the keys.
        self.key_weights = carry_weights(self.key_weights, plan)
        if plan.is_identity:
            return
        self.tokens = apply_plan(self.tokens, plan, num_prefix=num_prefix)
        self.origin = compose(self.origin, plan)
        self.positions = self.positions.after(plan)


def _scores_of_slots(scores_BN: Tensor, plan: TokenPlan) -> Tensor:
    """Return the score (B, S) of each output slot; a fused token gets the lowest possible one."""
    kept_BK = scores_BN.gather(1, plan.keep_indices)
    if not plan.fused:
        return kept_BK
    lowest_B1 = kept_BK.new_full((kept_BK.shape[0], 1), torch.finfo(kept_BK.dtype).min)
    return torch.cat([kept_BK, lowest_B1], dim=1)
