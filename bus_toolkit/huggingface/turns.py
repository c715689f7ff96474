"""What earlier turns of a conversation decided, for the next one, which is given whole again.

Shapes: B batch, W places of the whole sequence, V visual tokens of a row, U units, N tokens of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bus_toolkit.huggingface.prefill import Prefill
from bus_toolkit.huggingface.visual_places import VisualPlaces

Turns = Literal["each", "union", "keep", "without_text"]

# Features of the same image differ by rounding, with the images that are encoded beside it.
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Earlier:
    """What earlier turns decided on visual places.

    Attributes:
        known: bool (B, W), places that they decided on.
        kept: bool (B, W), those of them that stayed.
        final: Whether they are not asked about again; if not, what stayed does so whatever a selector says now.
    """

    known: Tensor
    kept: Tensor
    final: bool

    def at(self, places: Tensor) -> Earlier:
        """Return the same for some of the places, (B, n) of them."""
        return Earlier(self.known.gather(1, places), self.kept.gather(1, places), self.final)


@dataclass(frozen=True)
class TurnOfRow:
    """One sample of a turn.

    Attributes:
        ids: int64, its tokens without padding.
        look: (V,), the lengths of its visual features, which tell images apart.
        kept: bool (V,) for each stage, which visual tokens it left.
    """

    ids: Tensor
    look: Tensor
    kept: Mapping[int, Tensor]

    def goes_on_in(self, ids: Tensor, look: Tensor) -> bool:
        """Return whether a sample begins with this one."""
        if len(ids) < len(self.ids) or len(look) < len(self.look):
            return False
        is_same = torch.equal(ids[: len(self.ids)], self.ids)
        return is_same and torch.allclose(look[: len(self.look)], self.look, rtol=_TOLERANCE)


@dataclass(frozen=True)
class TurnRows:
    """The samples of a batch, by which turns of one conversation are recognised.

    Attributes:
        ids: int64 (B, W).
        readable: bool (B, W), False for padding.
        is_visual: bool (B, W).
        looks: float (B, W), the lengths of the embeddings.
    """

    ids: Tensor
    readable: Tensor
    is_visual: Tensor
    looks: Tensor

    def row(self, row: int, kept: Mapping[int, Tensor]) -> TurnOfRow:
        """Return a sample with what its stages kept, bool (B, W) for each."""
        visual = self.is_visual[row]
        kept_of_row = {stage: places[row][visual] for stage, places in kept.items()}
        return TurnOfRow(self.ids[row][self.readable[row]], self.looks[row][visual], kept_of_row)

    def earlier(self, turn: list[TurnOfRow], final: bool) -> dict[int, Earlier]:
        """Return what an earlier turn decided on these samples, by stage, each by the sample in the same row."""
        stages = {stage for row in turn for stage in row.kept}
        none = torch.zeros_like(self.is_visual)
        found = {stage: Earlier(none.clone(), none.clone(), final) for stage in stages}
        for number, before in enumerate(turn[: len(self.ids)]):
            now = self.row(number, {})
            if not before.goes_on_in(now.ids, now.look):
                continue
            places = self.is_visual[number].nonzero().squeeze(1)[: len(before.look)]
            for stage, kept in before.kept.items():
                found[stage].known[number, places] = True
                found[stage].kept[number, places] = kept
        return found


class Conversation:
    """What turns leave to the next.

    Args:
        turns: What becomes of it; nothing is remembered for ``each`` and ``without_text``.
    """

    def __init__(self, turns: Turns) -> None:
        self._remembers, self._is_final = turns in ("union", "keep"), turns == "keep"
        self._last: list[TurnOfRow] = []
        self._rows: TurnRows | None = None

    def begin(self, ids: Tensor, visual: VisualPlaces, embeds: Tensor) -> Mapping[int, Earlier]:
        """Begin a turn and return what earlier ones decided, by stage.

        Args:
            ids: int64 (B, W).
            visual: Their visual tokens.
            embeds: (B, W, D), what they enter the language model as.
        """
        if not self._remembers:
            return {}
        looks = embeds.detach().float().norm(dim=-1)
        self._rows = TurnRows(ids, visual.readable, visual.is_visual, looks)
        return self._rows.earlier(self._last, self._is_final)

    def end(self, prefill: Prefill | None) -> None:
        """Remember what this turn kept."""
        rows, self._rows = self._rows, None
        if rows is not None and prefill is not None:
            kept = {stage: prefill.kept_at(stage) for stage in prefill.after}
            self._last = [rows.row(number, kept) for number in range(len(rows.ids))]

    def forget(self) -> None:
        """Begin a new conversation."""
        self._last = []
