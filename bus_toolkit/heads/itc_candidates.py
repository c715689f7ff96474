"""What the rows of a contrast are compared with: features of the batch of all ranks, and of a queue."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bus_toolkit.step.image_ids import EMPTY


class FeatureRows(NamedTuple):
    """Features of rows: ``images`` and ``texts`` (R, E), ``ids`` int64 (R,) of their images."""

    images: Tensor
    texts: Tensor
    ids: Tensor


class Candidates(NamedTuple):
    """The C candidates of a contrast, in blocks that stay where they are.

    A queue is megabytes that do not change before the backward pass: put into one tensor with the batch, it would be
    kept once more for each direction.

    Attributes:
        blocks: Their features, one block after the other.
        ids: int64 (C,).
        present: bool (C,), False for an empty place of a queue.
    """

    blocks: tuple[FeatureRows, ...]
    ids: Tensor
    present: Tensor

    @classmethod
    def of(cls, *blocks: FeatureRows) -> Candidates:
        """Return the rows of blocks as candidates."""
        ids = torch.cat([block.ids for block in blocks])
        return cls(blocks, ids, ids != EMPTY)

    def logits(self, feats: Tensor, side: Literal["images", "texts"]) -> Tensor:
        """Return the dot products (B, C) of features (B, E) with one side of the candidates."""
        columns = (getattr(block, side).to(feats.dtype) for block in self.blocks)
        return torch.cat([feats @ column.T for column in columns], dim=1)


def soften(targets_BC: Tensor, logits_m_BC: Tensor, present_C: Tensor, alpha: float) -> Tensor:
    """Mix the momentum model's opinion into the targets: ``alpha softmax(logits_m) + (1 - alpha) targets``, (B, C)."""
    logits_m_BC = logits_m_BC.detach().masked_fill(~present_C, torch.finfo(logits_m_BC.dtype).min)
    return alpha * logits_m_BC.softmax(dim=1) + (1.0 - alpha) * targets_BC
