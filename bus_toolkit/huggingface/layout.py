"""Which places of a sequence are left after a selection.

Shapes: B batch, W width of the whole sequence, n places that are left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bus_toolkit.ops.merge_tokens import gather_tokens


@dataclass(frozen=True)
class Layout:
    """Places of a sequence of width W that are left, in order.

    Attributes:
        places: int64 (B, n), ascending in each row but for padding, which comes first.
        width: W.
        valid: bool (B, n), False for padding of rows that keep fewer; ``None`` where there is none.
        bias: float (B, n), added to the attention logits of each place as a key; ``None`` for nothing.
    """

    places: Tensor
    width: int
    valid: Tensor | None = None
    bias: Tensor | None = None

    @classmethod
    def whole(cls, batch: int, width: int, device: torch.device) -> Layout:
        """Return the layout that keeps all places."""
        return cls(torch.arange(width, device=device).expand(batch, width), width)

    @property
    def has_left_out(self) -> bool:
        """Whether a row has fewer than W places; the longest row may have all of them."""
        return self.places.shape[1] < self.width or self.valid is not None

    @property
    def is_whole(self) -> bool:
        """Whether every place is left and counts alike."""
        return not self.has_left_out and self.bias is None

    def after(self, kept: Tensor, counts: list[int], bias: Tensor | None = None) -> tuple[Layout, Tensor]:
        """Keep some of the places that are left.

        Args:
            kept: bool (B, n).
            counts: How many that is in each row.
            bias: float (B, n), what each place adds as a key from now on; ``None`` for nothing.

        Returns:
            The new layout, and int64 (B, k), which of the n places it took.
        """
        longest = max(counts)
        # False sorts before True and the sort is stable: the places that stay come last, in their order.
        order = kept.to(torch.uint8).argsort(dim=1, stable=True)[:, kept.shape[1] - longest :]
        valid = kept.gather(1, order) if min(counts) < longest else None
        biases = None if bias is None else bias.gather(1, order)
        return Layout(self.places.gather(1, order), self.width, valid, biases), order

    def inside(self, outer: Layout) -> Layout:
        """Return this layout of the places of ``outer`` as one of the sequence that ``outer`` is of."""
        valid = self.valid
        if outer.valid is not None:
            there = outer.valid.gather(1, self.places)
            valid = there if valid is None else valid & there
        return replace(self, places=outer.places.gather(1, self.places), width=outer.width, valid=valid)

    def kept(self) -> Tensor:
        """Return which of the W places are left, bool (B, W)."""
        there = torch.ones_like(self.places, dtype=torch.bool) if self.valid is None else self.valid
        none = torch.zeros(len(self.places), self.width, dtype=torch.bool, device=self.places.device)
        return none.scatter(1, self.places, there)

    def of_places(self, mask: Tensor) -> Tensor:
        """Return a mask bool (B, W) of the whole sequence for the places that are left, (B, n); padding is False."""
        left = mask.gather(1, self.places)
        return left if self.valid is None else left & self.valid

    def spread(self, states: Tensor) -> Tensor:
        """Give each of the W places the state of the nearest one that is left at or before it, (B, W, D).

        Places before the first that is left get that one's.
        """
        there = self.kept().to(torch.int64)
        num_padding = self.places.shape[1] - there.sum(dim=1, keepdim=True)
        nearest = there.cumsum(dim=1).sub(1).clamp(min=0) + num_padding
        return gather_tokens(states, nearest)

    def position_ids(self, position_ids: Tensor) -> Tensor:
        """Return positions (..., B, n) of the places of (..., B or 1, W)."""
        full = position_ids.expand(*position_ids.shape[:-2], self.places.shape[0], -1)
        return full.gather(-1, self.places.expand(*full.shape[:-1], -1))

    def embeddings(self, table: Tensor) -> Tensor:
        """Return rotary tables (..., B, n, D) of the places of (..., B or 1, W, D)."""
        full = table.expand(*table.shape[:-3], self.places.shape[0], -1, -1)
        return full.gather(-2, self.places.unsqueeze(-1).expand(*full.shape[:-2], -1, full.shape[-1]))
