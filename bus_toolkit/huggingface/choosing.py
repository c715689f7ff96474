"""Ask a selector about the visual tokens of a sequence, and carry out what it decides.

Shapes: B batch, n places of the sequence at this point, W of the whole one, U units of one size, N tokens of each, L words,
D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.access import LayerAccess, SequencePlaces
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.recorded_attention import RecordedAttention
from bus_toolkit.huggingface.unit_groups import UnitGroup
from bus_toolkit.ops.token_plan import apply_plan, gather_tokens, keep_marked
from bus_toolkit.selectors.base import PatchSelector, decision_of
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision, TextTokens


@dataclass(frozen=True)
class Words:
    """Text that selectors may read.

    Attributes:
        places: int64 (B, L), in the whole sequence; padding repeats the first.
        mask: bool (B, L), False for padding.
    """

    places: Tensor
    mask: Tensor

    @classmethod
    def of(cls, question: Tensor) -> Words | None:
        """Return the words at the places of a mask (B, W); ``None`` if a row has none."""
        counts = question.sum(dim=1).tolist()
        if min(counts) == 0:
            return None
        order = question.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, : max(counts)]
        return cls(order, question.gather(1, order))

    @property
    def last(self) -> Tensor:
        """Places of the last words, int64 (B,)."""
        return self.places.gather(1, self.mask.sum(dim=1, keepdim=True) - 1).squeeze(1)


@dataclass(frozen=True)
class Sequence:
    """A batch of sequences between two layers.

    Attributes:
        states: (B, n, D).
        layout: Which places of the whole sequence they are.
        groups: The visual tokens.
        counts: How many places each row has that are no padding.
        decisions: What the last selector decided, group by group, as the groups were before.
    """

    states: Tensor
    layout: Layout
    groups: tuple[UnitGroup, ...]
    counts: tuple[int, ...]
    decisions: tuple[Decision, ...] = ()

    def positions(self, rows: Tensor, places: Tensor) -> Tensor:
        """Return where in the n places those of the whole sequence are, (U, N), for ``places`` (U, N) of ``rows``."""
        layout = self.layout
        if layout.places.shape[1] == layout.width:
            return places
        here = torch.arange(layout.places.shape[1], device=places.device).expand_as(layout.places)
        inverse = torch.zeros(len(here), layout.width, dtype=torch.int64, device=places.device)
        return inverse.scatter(1, layout.places, here)[rows].gather(1, places)


@dataclass(frozen=True)
class Earlier:
    """What earlier turns of a conversation decided on visual places.

    Attributes:
        known: bool (B, W), places that they decided on.
        kept: bool (B, W), those of them that stayed.
        final: Whether they are not asked about again; if not, what stayed does so whatever a selector says now.
    """

    known: Tensor
    kept: Tensor
    final: bool


def choose(
    selector: PatchSelector,
    sequence: Sequence,
    *,
    block: int,
    words: Words | None,
    attention: Callable[[], RecordedAttention],
    asking: Tensor | None = None,
    earlier: Earlier | None = None,
    decided: tuple[Decision, ...] = (),
) -> Sequence:
    """Return a sequence without the visual tokens that a selector leaves out.

    Args:
        selector: Asked once for all units of one size.
        sequence: The sequence after layer ``block``.
        block: The layer that it comes out of, counted from 1; 0 for the input of the first.
        words: What the selector may read; ``None``: no text.
        attention: Returns what that layer's attention used.
        asking: int64 (B,), the class token; ``None`` where there is none.
        earlier: What earlier turns decided.
        decided: What the selector has decided on the same sequence before, when a layer runs again in the backward pass;
            it is not asked again then.
    """
    change = _Change(sequence)
    for number, group in enumerate(sequence.groups):
        positions = sequence.positions(group.rows, group.places)
        candidates = sequence.states[group.rows.unsqueeze(1), positions]  # (U, N, D)
        if decided:
            decision = decided[number]
        else:
            places = _places(sequence, group, positions, words, asking)
            view = BlockView(
                patches=candidates,
                prefix=candidates[:, :0],
                text=_text(sequence, group, words),
                origin=group.origin,
                block=block,
                key_weights=group.key_weights,
                inside=LayerAccess(attention, places),
                grid=group.grid,
            )
            decision = decision_of(selector, view)
            if earlier is not None:
                decision = _with_earlier(decision, group, earlier)
        change.reduce(group, positions, candidates, decision, block)
    return change.carry_out()


class _Change:
    """What a stage makes of a sequence, group by group."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence, self._states, layout = sequence, sequence.states, sequence.layout
        kept = layout.valid
        self._kept = torch.ones_like(layout.places, dtype=torch.bool) if kept is None else kept.clone()
        self._bias = layout.bias
        self._groups, self._decisions = list[UnitGroup](), list[Decision]()
        # Known without looking at the device, unless a plan hides tokens by their scores.
        self._counts: list[int] | None = list(sequence.counts)

    def reduce(self, group: UnitGroup, positions: Tensor, candidates: Tensor, decision: Decision, block: int) -> None:
        """Take the decision on the tokens (U, N, D) of a group, which are at ``positions`` (U, N) of the sequence."""
        self._decisions.append(decision)
        plan, rows = decision.plan, group.rows.unsqueeze(1)
        group = group.after(decision, block)
        slots = self._sequence.positions(group.rows, group.places)  # (U, S)
        self._kept[rows, positions] = False
        self._kept[rows, slots] = True
        if plan.fused or plan.merging:
            self._states = self._states.index_put((rows, slots), apply_plan(candidates, plan))
        hidden = group.hidden(plan)
        weights = group.key_weights
        # Hidden tokens leave for good, and the others of such a plan count 1; weights with gradient go on as weights.
        if weights is not None and (hidden is None or weights.requires_grad):
            bias = torch.zeros_like(self._kept, dtype=self._states.dtype) if self._bias is None else self._bias
            # As in the backbones, the smallest weight keeps its gradient.
            self._bias = bias.index_put((rows, slots), weights.clamp(min=1e-6).log().to(bias.dtype))
        if hidden is not None:
            self._kept[rows, slots] = ~hidden
            self._counts = None
            self._groups.extend(group.without(hidden))
            return
        self._groups.append(group)
        if self._counts is not None:
            for unit in group.units:
                self._counts[unit.row] -= plan.num_inputs - plan.num_slots

    def carry_out(self) -> Sequence:
        counts = self._kept.sum(dim=1).tolist() if self._counts is None else self._counts
        layout, order = self._sequence.layout.after(self._kept, counts, self._bias)
        states, groups = gather_tokens(self._states, order), tuple(self._groups)
        return Sequence(states, layout, groups, tuple(counts), tuple(self._decisions))


def _with_earlier(decision: Decision, group: UnitGroup, earlier: Earlier) -> Decision:
    """Return a decision that leaves what earlier turns decided as they did."""
    plan = decision.plan
    if plan.fused or plan.merging or plan.key_weights is not None and not plan.may_hide:
        raise ComponentError(
            "reduce_tokens: turns='union' and turns='keep' need a selector that drops tokens, got one that fuses, merges or "
            "weighs them. Use turns='each', or a selector with fuse: none."
        )
    rows = group.rows
    kept = torch.zeros_like(plan.slots, dtype=torch.bool).scatter_(1, plan.keep_indices, True)
    if plan.key_weights is not None:
        kept = kept.scatter(1, plan.keep_indices, plan.key_weights > 0)
    stayed = earlier.kept[rows].gather(1, group.places)
    kept = torch.where(earlier.known[rows].gather(1, group.places), stayed, kept) if earlier.final else kept | stayed
    marked = keep_marked(decision.scores, kept, kept.shape[1])
    return decision._replace(plan=marked)


def _text(sequence: Sequence, group: UnitGroup, words: Words | None) -> TextTokens | None:
    if words is None:
        return None
    rows = group.rows
    positions = sequence.positions(rows, words.places[rows])
    embeds = sequence.states[rows.unsqueeze(1), positions]
    last = sequence.positions(rows, words.last[rows].unsqueeze(1)).squeeze(1)
    return TextTokens(embeds, sequence.states[rows, last], words.mask[rows])


def _places(
    sequence: Sequence, group: UnitGroup, positions: Tensor, words: Words | None, asking: Tensor | None
) -> SequencePlaces:
    rows = group.rows
    asks = None if asking is None else asking[rows]
    if words is None:
        return SequencePlaces(rows, positions, asking=asks)
    return SequencePlaces(
        rows,
        positions,
        words=sequence.positions(rows, words.places[rows]),
        words_mask=words.mask[rows],
        last_word=sequence.positions(rows, words.last[rows].unsqueeze(1)).squeeze(1),
        asking=asks,
    )
