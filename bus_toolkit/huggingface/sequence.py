"""A batch of sequences between two layers, and what decisions on its visual tokens make of it.

Shapes: B batch, n places of the sequence, W of the whole one, U units of one size, N tokens of each, S after a
decision, D width.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bus_toolkit.backbones.key_bias import log_weights
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.unit_groups import UnitGroup
from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.structures import Decision


@dataclass(frozen=True)
class Sequence:
    """A batch of sequences between two layers.

    Attributes:
        states: (B, n, D).
        layout: Which places of the whole sequence they are.
        groups: The visual tokens.
        counts: How many places each row has that are left, without those that fill up shorter rows.
    """

    states: Tensor
    layout: Layout
    groups: tuple[UnitGroup, ...]
    counts: tuple[int, ...]

    def positions(self, rows: Tensor, places: Tensor) -> Tensor:
        """Return where in the n places those of the whole sequence are, (U, N), for ``places`` (U, N) of ``rows``."""
        layout = self.layout
        if not layout.has_left_out:
            return places
        here = torch.arange(layout.places.shape[1], device=places.device).expand_as(layout.places)
        inverse = torch.zeros(len(here), layout.width, dtype=torch.int64, device=places.device)
        return inverse.scatter(1, layout.places, here)[rows].gather(1, places)

    def candidates(self, group: UnitGroup) -> tuple[Tensor, Tensor]:
        """Return where the tokens of a group are, int64 (U, N), and their states (U, N, D)."""
        positions = self.positions(group.rows, group.places)
        return positions, self.states[group.rows.unsqueeze(1), positions]

    def with_states(self, states: Tensor) -> Sequence:
        """Return the same places with other states (B, n, D)."""
        return replace(self, states=states)

    def after(self, decisions: Rows[Decision], block: int) -> Sequence:
        """Return the sequence after a decision on each group, made at ``block``."""
        change = _Change(self)
        for group, decision in zip(self.groups, decisions, strict=True):
            change.reduce(group, decision, block)
        return change.carry_out()


class _Change:
    """What becomes of a sequence, group by group."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence, self._states, layout = sequence, sequence.states, sequence.layout
        kept = layout.valid
        self._kept = torch.ones_like(layout.places, dtype=torch.bool) if kept is None else kept.clone()
        self._bias = layout.bias
        self._groups = list[UnitGroup]()
        # Known without looking at the device, unless a plan hides tokens by their scores.
        self._counts: list[int] | None = list(sequence.counts)

    def reduce(self, group: UnitGroup, decision: Decision, block: int) -> None:
        """Take the decision on a group."""
        plan, rows = decision.plan, group.rows.unsqueeze(1)
        positions, candidates = self._sequence.candidates(group)
        group = group.after(decision, block)
        slots = self._sequence.positions(group.rows, group.places)  # (U, S)
        self._kept[rows, positions] = False
        self._kept[rows, slots] = True
        if plan.fused or plan.merging:
            self._states = self._states.index_put((rows, slots), apply_plan(candidates, plan))
        hidden = group.hidden(plan)
        if hidden is None:
            self._weigh(group)
            self._groups.append(group)
            self._take_off(group, plan.num_inputs - plan.num_slots)
            return
        self._kept[rows, slots] = ~hidden
        self._counts = None
        for part in group.without(hidden):
            self._weigh(part)
            self._groups.append(part)

    def _weigh(self, group: UnitGroup) -> None:
        weights, bias = group.key_weights, self._bias
        if weights is None and bias is None:
            return
        if bias is None:
            bias = torch.zeros_like(self._kept, dtype=self._states.dtype)
        positions = self._sequence.positions(group.rows, group.places)
        # Without weights, those of earlier decisions end.
        logs = torch.zeros_like(positions, dtype=bias.dtype) if weights is None else log_weights(weights)
        self._bias = bias.index_put((group.rows.unsqueeze(1), positions), logs.to(bias.dtype))

    def _take_off(self, group: UnitGroup, count: int) -> None:
        if self._counts is not None:
            for unit in group.units:
                self._counts[unit.row] -= count

    def carry_out(self) -> Sequence:
        counts = self._kept.sum(dim=1).tolist() if self._counts is None else self._counts
        layout, order = self._sequence.layout.after(self._kept, counts, self._bias)
        return Sequence(gather_tokens(self._states, order), layout, tuple(self._groups), tuple(counts))
