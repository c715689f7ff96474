"""Visual tokens that are ranked together, many units of one size at a time, and what has become of them.

Shapes: U units, M original visual tokens of each, N of them now, S after a decision, W places of the whole sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bus_toolkit.huggingface.visual_places import Grid, Unit, VisualPlaces
from bus_toolkit.ops.follow_plans import carry_weights, compose, patches_in_tokens
from bus_toolkit.ops.token_plan import DROPPED, TokenPlan
from bus_toolkit.structures import Decision, Guide, Selection


@dataclass(frozen=True)
class UnitGroup:
    """Units of one size, all of them with a text or all without.

    Attributes:
        units: Which they are.
        rows: int64 (U,), the row of the batch of each.
        places: int64 (U, N), where their tokens are in the whole sequence.
        origin: int64 (U, M), the token that each original one is in, or -1.
        key_weights: (U, N), how much each token counts as a key; ``None`` if all count alike.
        selections: What was decided on them, in order.
    """

    units: tuple[Unit, ...]
    rows: Tensor
    places: Tensor
    origin: Tensor
    key_weights: Tensor | None = None
    selections: tuple[Selection, ...] = field(default=())

    @property
    def grid(self) -> Grid:
        """Rows and columns of the M original tokens."""
        return self.units[0].grid

    @property
    def has_text(self) -> bool:
        """Whether their rows have a text that a selector may read."""
        return self.units[0].has_text

    def after(self, decision: Decision, block: int) -> UnitGroup:
        """Return these units after a decision: tokens in the order of its slots, hidden ones included."""
        plan = decision.plan
        return replace(
            self,
            places=places_of_slots(self.places, plan),
            origin=compose(self.origin, plan),
            key_weights=carry_weights(self.key_weights, plan),
            selections=(*self.selections, Selection(decision, block, self.origin)),
        )

    def hidden(self, plan: TokenPlan) -> Tensor | None:
        """Return which tokens nothing reads after ``plan``, bool (U, S); ``None`` where it leaves none such.

        A weight of 0 that learns hides nothing here: its gradient comes from layers that go on with the token.
        """
        weights = self.key_weights
        learns = weights is not None and weights.requires_grad
        if not plan.may_be_empty and (not plan.may_hide or learns):
            return None
        empty = patches_in_tokens(self.origin, self.places.shape[1]) == 0
        return empty if weights is None or learns or not plan.may_hide else empty | (weights == 0)

    def without(self, hidden: Tensor) -> Iterator[UnitGroup]:
        """Yield groups of the units that keep equally many tokens, without the hidden ones (U, N)."""
        counts = (~hidden).sum(dim=1).tolist()
        for count in sorted(set(counts)):
            chosen = torch.tensor([i for i, one in enumerate(counts) if one == count], device=hidden.device)
            gone = hidden[chosen]
            # Stable, False before True: the tokens that stay come first, in their order.
            order = gone.to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
            new_slot = (~gone).cumsum(dim=1).sub(1).masked_fill(gone, DROPPED)
            origin = self.origin[chosen]
            yield UnitGroup(
                units=tuple(self.units[i] for i in chosen.tolist()),
                rows=self.rows[chosen],
                places=self.places[chosen].gather(1, order),
                origin=new_slot.gather(1, origin.clamp(min=0)).masked_fill(origin < 0, DROPPED),
                key_weights=self._weights_of(chosen, order),
                selections=tuple(_of(selection, chosen) for selection in self.selections),
            )

    def _weights_of(self, chosen: Tensor, order: Tensor) -> Tensor | None:
        if self.key_weights is None:
            return None
        weights = self.key_weights[chosen].gather(1, order)
        # Most plans that hide know 0 and 1 alone: without the hidden tokens, the others count alike.
        return weights if weights.requires_grad or bool((weights != 1).any()) else None


def unit_groups(visual: VisualPlaces) -> list[UnitGroup]:
    """Return the units of a batch with all of their tokens: those of one grid together, if all or none have a text."""
    alike: dict[tuple[Grid, bool], list[Unit]] = {}
    for unit in visual.units:
        alike.setdefault((unit.grid, unit.has_text), []).append(unit)
    groups = []
    for units in alike.values():
        places = visual.places(units)
        rows = torch.tensor([unit.row for unit in units], device=places.device)
        origin = torch.arange(places.shape[1], device=places.device).expand_as(places)
        groups.append(UnitGroup(tuple(units), rows, places, origin))
    return groups


def places_of_slots(places: Tensor, plan: TokenPlan) -> Tensor:
    """Return the places (U, S) of a plan's output tokens: a kept or merged one stays where its founder is.

    A fused token takes the place of the last one that went into it (our choice).
    """
    kept = places.gather(1, plan.keep_indices)
    if not plan.fused:
        return kept
    joined = torch.ones_like(plan.slots, dtype=torch.bool).scatter_(1, plan.keep_indices, False)
    index = torch.arange(plan.num_inputs, device=places.device)
    # Not of ``slots``: what a fused token takes up may be nothing, and its place must still be free.
    last = torch.where(joined, index, -1).max(dim=1, keepdim=True).values
    return torch.cat([kept, places.gather(1, last)], dim=1)


def _of(selection: Selection, rows: Tensor) -> Selection:
    """Return what was decided on some of the units."""
    decision, plan, guide = selection.decision, selection.decision.plan, selection.decision.guide
    some = replace(
        plan,
        keep_indices=plan.keep_indices[rows],
        slots=plan.slots[rows],
        weights=plan.weights[rows],
        key_weights=None if plan.key_weights is None else plan.key_weights[rows],
    )
    answers = None if guide is None else Guide(guide.tokens, guide.answers[rows])
    decision = decision._replace(plan=some, scores=decision.scores[rows], guide=answers)
    return replace(selection, decision=decision, slots_before=selection.slots_before[rows])
