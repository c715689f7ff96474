"""A batch of dialogs with the places of their visual tokens, as a causal language model reads it.

Shapes: B rows, W width, V visual tokens of a row, T tokens to be learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bus_toolkit.huggingface.words import Words
from bus_toolkit.models.causal.dialogs import Row
from bus_toolkit.ops.to_device import to_device


@dataclass(frozen=True)
class Prompts:
    """Padded dialogs.

    Attributes:
        ids: int64 (B, W); at visual tokens and padding that of padding.
        is_visual: bool (B, W), V of each row, next to each other.
        readable: bool (B, W), False for padding.
        is_padded: Whether any row has padding.
        words: What selectors may read.
        asked: int64 (A,), the places before tokens to be learned, where these are predicted.
        targets: int64 (3, T): row, number among the ``asked`` and id of each token to be learned.
        question_ends: int64 (B, turns), the last place of each question; -1 where a row has fewer.
    """

    ids: Tensor
    is_visual: Tensor
    readable: Tensor
    is_padded: bool
    words: Words
    asked: Tensor
    targets: Tensor
    question_ends: Tensor

    @property
    def before_answer(self) -> Tensor:
        """Which places are no padding and before the first token to be learned of their row, bool (B, W)."""
        rows, numbers, _ = self.targets
        place = torch.arange(self.ids.shape[1], device=self.ids.device)
        first = torch.full_like(self.ids[:, 0], self.ids.shape[1])
        first = first.scatter_reduce(0, rows, self.asked[numbers] + 1, "amin")
        return self.readable & (place < first.unsqueeze(1))

    @classmethod
    def of(
        cls, rows: Sequence[Row], num_visual: int, *, pad_id: int, device: torch.device, left: bool = False
    ) -> Prompts:
        """Lay dialogs out around their images.

        Args:
            rows: The dialogs.
            num_visual: V.
            pad_id: Of padding.
            device: Where to.
            left: Whether padding comes first, as for rows that are gone on with; else it comes last.
        """
        width = max(len(row.ids) for row in rows) + num_visual
        starts = [(width - num_visual - len(row.ids)) if left else 0 for row in rows]
        ids = torch.full((len(rows), width), pad_id)
        readable, is_visual = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
        targets, questions, ends = [], [], []
        num_turns = max(len(row.question_ends) for row in rows)
        for number, (row, start) in enumerate(zip(rows, starts, strict=True)):
            places = [start + place + num_visual * (place >= row.image_at) for place in range(len(row.ids))]
            ids[number, places] = torch.tensor(row.ids)
            readable[number, start : start + len(row.ids) + num_visual] = True
            is_visual[number, start + row.image_at : start + row.image_at + num_visual] = True
            targets += [(number, places[at] - 1, row.ids[at]) for at, learned in enumerate(row.is_answer) if learned]
            questions.append([places[at] for at in row.question])
            turns = [places[at] for at in row.question_ends]
            ends.append(turns + [-1] * (num_turns - len(turns)))
        asked = sorted({place for _, place, _ in targets})
        index = {place: at for at, place in enumerate(asked)}
        learned = [(number, index[place], word) for number, place, word in targets]
        return cls(
            to_device(ids, device),
            to_device(is_visual, device),
            to_device(readable, device),
            len({len(row.ids) for row in rows}) > 1,
            _words(questions, device),
            to_device(torch.tensor(asked, dtype=torch.int64), device),
            to_device(torch.tensor(learned, dtype=torch.int64).reshape(-1, 3).T, device),
            to_device(torch.tensor(ends, dtype=torch.int64), device),
        )


def _words(places: Sequence[Sequence[int]], device: torch.device) -> Words:
    """Return words at such places of each row; padding repeats the first."""
    longest = max(map(len, places))
    padded = [[*row, *[row[0]] * (longest - len(row))] for row in places]
    mask = [[True] * len(row) + [False] * (longest - len(row)) for row in places]
    return Words(to_device(torch.tensor(padded), device), to_device(torch.tensor(mask), device))
