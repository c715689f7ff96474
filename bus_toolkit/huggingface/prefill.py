"""What is known about a batch of sequences from its prefill on: visual tokens, what is left of them, positions.

Shapes: B batch, W places of the whole sequence, w of what enters the first layer, n of what is left at a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ReferenceType

import torch
from torch import Tensor

from bus_toolkit.huggingface.choosing import Earlier, Sequence, Words, choose
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.recorded_attention import RecordedAttention
from bus_toolkit.huggingface.unit_groups import UnitGroup, unit_groups
from bus_toolkit.huggingface.visual_places import VisualPlaces
from bus_toolkit.selectors.base import PatchSelector

ENTRY = 0
"""The stage before the first layer; others are called by the number of the layer that they come after."""


@dataclass
class Prefill:
    """A prefill and what was decided in it.

    Attributes:
        input_ids: int64 (B, W).
        visual: Its visual tokens.
        words: What selectors may read, in places of the sequence that enters the first layer.
        entry: Which of the W places enter the first layer.
        position_ids: (..., B or 1, W).
        stages: Sequences before and after each stage, without their states.
        cache: The cache that it filled.
    """

    input_ids: Tensor
    visual: VisualPlaces
    words: Words | None
    entry: Layout
    position_ids: Tensor
    stages: dict[int, tuple[Sequence, Sequence]] = field(default_factory=dict)
    cache: ReferenceType[Any] | None = None

    @property
    def width(self) -> int:
        """Return w, the width of what enters the first layer."""
        return self.entry.places.shape[1]

    def layout_at(self, layer: int) -> Layout | None:
        """Return what is left in ``layer`` (from 0) of what entered the first; ``None`` before the first stage."""
        passed = [stage for stage in self.stages if stage <= layer]
        return self.stages[max(passed)][1].layout if passed else None

    @property
    def left(self) -> Layout:
        """Return which of the W places leave the last layer."""
        last = self.layout_at(max(self.stages, default=0))
        return self.entry if last is None else last.inside(self.entry)

    def groups(self) -> tuple[UnitGroup, ...]:
        """Return the visual tokens as they leave the last layer."""
        return self.stages[max(self.stages)][1].groups

    def kept_at(self, stage: int) -> Tensor:
        """Return which of the W places are left after a stage, bool (B, W)."""
        return self.stages[stage][1].layout.inside(self.entry).kept()

    def next_positions(self, like: Tensor | None, later: int, new: int) -> Tensor:
        """Return the positions of the last ``new`` of ``later`` tokens since, in the shape that the model uses.

        They go on after the highest position of the prefill, as they would if nothing had been dropped.
        """
        steps = torch.arange(later - new, later, device=self.position_ids.device)
        highest = self.position_ids.amax(dim=-1, keepdim=True)  # (..., B or 1, 1)
        if like is None or like.dim() == 2:
            return (highest if highest.dim() == 2 else highest[0]) + 1 + steps
        # Time, height and width go on together; some models say the place in the text before them.
        visual = highest[-3:].amax(dim=0, keepdim=True).expand(3, -1, -1)
        text = highest[:1] if highest.shape[0] == 4 else torch.full_like(highest[:1], self.entry.width - 1)
        rows = visual if like.shape[0] == 3 else torch.cat([text, visual])
        return rows + 1 + steps


def reduce_at(
    prefill: Prefill,
    stage: int,
    states: Tensor,
    selector: PatchSelector,
    attention: Callable[[], RecordedAttention],
    *,
    words: Words | None,
    earlier: Earlier | None,
) -> Tensor:
    """Let a selector act on the states (B, n, D) after layer ``stage`` and return what is left of them.

    A stage that has decided already, when layers run again in the backward pass, does the same as before.
    """
    if stage in prefill.stages:
        before, after = prefill.stages[stage]
        whole = replace(before, states=states)
        again = choose(selector, whole, block=stage, words=words, attention=attention, decided=after.decisions)
        return again.states
    before = replace(_last(prefill), states=states, decisions=())
    after = choose(selector, before, block=stage, words=words, attention=attention, earlier=earlier)
    prefill.stages[stage] = (_without_states(before), _without_states(after))
    return after.states


def begin_stages(prefill: Prefill, entered: Sequence) -> None:
    """Note what enters the first layer: its places become those that later layouts count by."""
    layout, bias = entered.layout, entered.layout.bias
    batch, width = layout.places.shape
    groups = tuple(replace(group, places=entered.positions(group.rows, group.places)) for group in entered.groups)
    inner = Sequence(entered.states, Layout.whole(batch, width, layout.places.device), groups, (width,) * batch)
    if bias is not None:
        inner = replace(inner, layout=replace(inner.layout, bias=bias))
    if prefill.words is not None:
        rows = torch.arange(batch, device=layout.places.device)
        prefill.words = replace(prefill.words, places=entered.positions(rows, prefill.words.places))
    prefill.entry = replace(layout, bias=None)
    inner = replace(inner, decisions=entered.decisions)
    prefill.stages[ENTRY] = (_without_states(inner), _without_states(inner))


def whole_sequence(states: Tensor, visual: VisualPlaces, hidden: Tensor | None) -> Sequence:
    """Return the sequence of a prefill with its visual tokens, without those that a tower has dropped.

    Args:
        states: (B, W, D).
        visual: Where its visual tokens are.
        hidden: bool (B, W), the dropped ones; ``None`` where no tower selects.
    """
    batch, width = states.shape[:2]
    layout = Layout.whole(batch, width, states.device)
    groups = unit_groups(visual)
    if hidden is None:
        return Sequence(states, layout, tuple(groups), (width,) * batch)
    left = [part for group in groups for part in group.without(hidden[group.rows].gather(1, group.places))]
    counts = (~hidden).sum(dim=1).tolist()
    reduced, _ = layout.after(~hidden, counts)
    return Sequence(reduced.states(states), reduced, tuple(left), tuple(counts))


def _last(prefill: Prefill) -> Sequence:
    return prefill.stages[max(prefill.stages)][1]


def _without_states(sequence: Sequence) -> Sequence:
    return replace(sequence, states=sequence.states[:, :0].detach())
