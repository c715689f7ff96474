"""What is known about a batch of sequences from its prefill on: visual tokens, what is left of them, positions.

Shapes: B batch, W places of the whole sequence, w of what enters the first layer, n of what is left at a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.sequence import Sequence
from bus_toolkit.huggingface.unit_groups import unit_groups
from bus_toolkit.huggingface.visual_places import VisualPlaces
from bus_toolkit.huggingface.words import Words
from bus_toolkit.ops.merge_tokens import gather_tokens

ENTRY = 0
"""The stage before the first layer; others are called by the number of the layer that they come after."""


@dataclass
class Prefill:
    """A prefill and what was decided in it.

    Attributes:
        visual: Its visual tokens.
        words: What selectors may read, in places of the sequence that enters the first layer.
        entry: Which of the W places enter the first layer.
        position_ids: (..., B or 1, W).
        after: The sequence after each stage, without its states, in places of what enters the first layer.
        entered: (B, w, D), what entered the first layer, without gradient; ``None`` once the call has ended.
    """

    visual: VisualPlaces
    words: Words | None
    entry: Layout
    position_ids: Tensor
    after: dict[int, Sequence] = field(default_factory=dict)
    entered: Tensor | None = None

    @classmethod
    def of(cls, visual: VisualPlaces, words: Words | None, position_ids: Tensor) -> Prefill:
        """Return the prefill of sequences of which nothing has been dropped yet; words are at places of them."""
        batch, width = visual.is_visual.shape
        return cls(visual, words, Layout.whole(batch, width, visual.is_visual.device), position_ids)

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Prefill:
        # A copy of a cache is of the same prefill.
        return self

    @property
    def width(self) -> int:
        """Return w, the width of what enters the first layer."""
        return self.entry.places.shape[1]

    def layout_at(self, layer: int) -> Layout:
        """Return what is left in ``layer`` (from 0) of what entered the first."""
        return self.after[max(stage for stage in self.after if stage <= layer)].layout

    def left_at(self, layer: int) -> Layout:
        """Return the same of the W places."""
        return self.layout_at(layer).inside(self.entry)

    @property
    def last(self) -> Sequence:
        """Return the sequence after the last stage."""
        return self.after[max(self.after)]

    @property
    def left(self) -> Layout:
        """Return which of the W places leave the last layer."""
        return self.last.layout.inside(self.entry)

    @property
    def asking(self) -> Tensor:
        """Return which places after the last stage count where the mean of all of them is asked for, bool (B, n).

        No padding, and nothing from the first label on. In a row where that leaves nothing, such as one that is learned
        as a whole, its visual tokens count (our choice).
        """
        early, visual = (
            self.last.layout.of_places(self.entry.of_places(one))
            for one in (self.visual.before_answer, self.visual.is_visual)
        )
        return torch.where(early.any(dim=1, keepdim=True), early, visual)

    def kept_at(self, stage: int) -> Tensor:
        """Return which of the W places are left after a stage, bool (B, W)."""
        return self.left_at(stage).kept()

    def enter(self, entered: Sequence) -> None:
        """Note what enters the first layer: its places become those that later layouts count by."""
        layout = entered.layout
        batch, width = layout.places.shape
        groups = tuple(replace(group, places=entered.positions(group.rows, group.places)) for group in entered.groups)
        inner = replace(Layout.whole(batch, width, layout.places.device), bias=layout.bias)
        if self.words is not None:
            rows = torch.arange(batch, device=layout.places.device)
            self.words = replace(self.words, places=entered.positions(rows, self.words.places))
        self.entry, self.entered = replace(layout, bias=None), entered.states.detach()
        self.note(ENTRY, Sequence(entered.states, inner, groups, (width,) * batch))

    def note(self, stage: int, after: Sequence) -> None:
        """Note the sequence after a stage."""
        self.after[stage] = replace(after, states=after.states[:, :0].detach())

    def next_positions(self, like: Tensor | None, later: int, new: int) -> Tensor:
        """Return the positions of the last ``new`` of ``later`` tokens since, in the shape that the model uses.

        They go on after the highest position of the prefill, as they would if nothing had been dropped.

        Args:
            like: Positions that the model gives them, which may count the shortened cache; ``None`` if it gives none.
            later: All tokens since the prefill.
            new: How many of them are new.
        """
        steps = torch.arange(later - new, later, device=self.position_ids.device)
        highest = self.position_ids.amax(dim=-1, keepdim=True)
        highest = highest if highest.dim() == 3 else highest.unsqueeze(0)  # (1, 3 or 4, B or 1, 1)
        if like is None or like.dim() == 2:
            return highest[0] + 1 + steps
        # Time, height and width go on together; some models say the place in the text before them.
        visual = highest[-3:].amax(dim=0, keepdim=True).expand(3, -1, -1)
        text = highest[:1] if highest.shape[0] == 4 else torch.full_like(highest[:1], self.entry.width - 1)
        return (visual if like.shape[0] == 3 else torch.cat([text, visual])) + 1 + steps


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
    counts = tuple((~hidden).sum(dim=1).tolist())
    reduced, order = layout.after(~hidden, list(counts))
    return Sequence(gather_tokens(states, order), reduced, tuple(left), counts)
