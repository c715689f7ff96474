"""Which places of a sequence are visual tokens, which of them are ranked together, and which text they are ranked by.

Shapes: B batch, W places of the sequence, U units (visual tokens that are ranked together), M tokens of a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bus_toolkit.errors import DataError

Quota = Literal["sample", "image"]
Grid = tuple[int, int]


@dataclass(frozen=True)
class Unit:
    """Visual tokens that are ranked together.

    Attributes:
        row: The row of the batch.
        start: Its first token among the visual tokens of the row.
        grids: Rows and columns of its images, one after the other.
        has_text: Whether the row has a text that a selector may read.
    """

    row: int
    start: int
    grids: tuple[Grid, ...]
    has_text: bool = False

    @property
    def num_tokens(self) -> int:
        """Return M."""
        return sum(rows * columns for rows, columns in self.grids)

    @property
    def grid(self) -> Grid:
        """Return one grid of all tokens: images of one width one below the other; one row where widths differ."""
        widths = {columns for _, columns in self.grids}
        if len(widths) == 1:
            return sum(rows for rows, _ in self.grids), widths.pop()
        return 1, self.num_tokens


@dataclass(frozen=True)
class VisualPlaces:
    """Where the visual tokens of a batch are.

    Attributes:
        is_visual: bool (B, W).
        readable: bool (B, W), what is no padding.
        before_answer: bool (B, W), readable places before the first label.
        question: bool (B, W), text that a selector may read.
        units: Visual tokens that are ranked together, row by row.
    """

    is_visual: Tensor
    readable: Tensor
    before_answer: Tensor
    question: Tensor
    units: tuple[Unit, ...]

    def places(self, units: Sequence[Unit]) -> Tensor:
        """Return the places (U, M) of units of one size."""
        # False sorts before True and the sort is stable: visual places first.
        order = self.is_visual.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
        rows = torch.tensor([unit.row for unit in units], device=order.device)
        starts = torch.tensor([unit.start for unit in units], device=order.device)
        offsets = starts[:, None] + torch.arange(units[0].num_tokens, device=order.device)
        return order[rows].gather(1, offsets)


def visual_places(
    is_visual: Tensor,
    images: Sequence[Grid] | None,
    *,
    readable: Tensor | None = None,
    labels: Tensor | None = None,
    quota: Quota = "sample",
) -> VisualPlaces:
    """Find units and the question.

    A question is the text after the last visual token of a row and before the first label that is not ignored, since
    the answer must not choose what is seen; all text before the labels, where there is none between them.

    Args:
        is_visual: bool (B, W).
        images: The grids of all images of the batch in their order, where the family says it; ``None``: each run of
            visual tokens is an image of one row.
        readable: (B, W), 0 for padding; ``None``: there is none.
        labels: int64 (B, W), -100 where no loss is taken; ``None`` where nothing is trained.
        quota: ``sample``: all visual tokens of a row are ranked together; ``image``: those of each image (or frame).

    Raises:
        DataError: Images that do not end where the visual tokens of a row end.
    """
    readable = torch.ones_like(is_visual) if readable is None else readable.bool()
    before_answer = readable if labels is None else readable & ((labels != -100).cumsum(dim=1) == 0)
    question = _question(is_visual, before_answer)
    # Together, since looking at a device stops it.
    counts, has_text = torch.stack([is_visual.sum(dim=1), question.any(dim=1)]).tolist()
    units = []
    for row, of_row in enumerate(_runs(is_visual) if images is None else _by_row(images, counts)):
        parts = [(grid,) for grid in of_row] if quota == "image" else ([tuple(of_row)] if of_row else [])
        start = 0
        for part in parts:
            units.append(Unit(row, start, part, bool(has_text[row])))
            start += units[-1].num_tokens
    return VisualPlaces(is_visual, readable, before_answer, question, tuple(units))


def _by_row(images: Sequence[Grid], counts: Sequence[int]) -> list[list[Grid]]:
    """Deal the images out to the rows."""
    dealt: list[list[Grid]] = []
    left = list(images)
    for row, count in enumerate(counts):
        own, total = [], 0
        while total < count and left:
            own.append(left.pop(0))
            total += own[-1][0] * own[-1][1]
        if total != count:
            raise DataError(
                f"reduce_tokens: images of row {row} must have as many tokens as input_ids has places for, got {total} "
                f"for {count} places. Make input_ids and images by one call of the model's processor."
            )
        dealt.append(own)
    return dealt


def _runs(is_visual: Tensor) -> list[list[Grid]]:
    """Take each run of visual tokens for an image of one row."""
    runs: list[list[Grid]] = []
    for row in is_visual.tolist():
        lengths, length = [], 0
        for is_one in [*row, False]:
            if is_one:
                length += 1
            elif length:
                lengths.append(length)
                length = 0
        runs.append([(1, length) for length in lengths])
    return runs


def _question(is_visual: Tensor, before_answer: Tensor) -> Tensor:
    text = ~is_visual & before_answer
    # Visual tokens that are still to come at each place, itself included.
    to_come = is_visual.flip(1).cumsum(dim=1).flip(1)
    after = text & (to_come == 0)
    return torch.where(after.any(dim=1, keepdim=True), after, text)
