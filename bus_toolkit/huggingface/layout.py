"""Which places of a sequence are left after a selection, and the arguments of a layer for those places alone.

Shapes: B batch, W width of the whole sequence, n places that are left, t tokens generated since.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.token_plan import gather_tokens


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
    def is_whole(self) -> bool:
        """Whether every place is left and counts alike."""
        return self.places.shape[1] == self.width and self.valid is None and self.bias is None

    def after(self, kept: Tensor, counts: list[int] | None, bias: Tensor | None = None) -> tuple[Layout, Tensor]:
        """Keep some of the places that are left.

        Args:
            kept: bool (B, n).
            counts: How many that is in each row, where it is known without looking; ``None`` looks, which waits for the
                device.
            bias: float (B, n), what each place adds as a key from now on; ``None`` for nothing.

        Returns:
            The new layout, and int64 (B, k), which of the n places it took.
        """
        counts = kept.sum(dim=1).tolist() if counts is None else counts
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

    def place_of_each(self) -> Tensor:
        """Return for each of the W places the nearest one that is left at or before it, int64 (B, W), as 0 to n - 1.

        Places before the first that is left get that one.
        """
        there = self.kept().to(torch.int64)
        num_padding = self.places.shape[1] - there.sum(dim=1, keepdim=True)
        return there.cumsum(dim=1).sub(1).clamp(min=0) + num_padding

    def states(self, states: Tensor) -> Tensor:
        """Return the states (B, n, D) of the places of (B, W, D)."""
        return gather_tokens(states, self.places)

    def position_ids(self, position_ids: Tensor) -> Tensor:
        """Return positions (..., B, n) of the places of (..., B or 1, W)."""
        full = position_ids.expand(*position_ids.shape[:-2], self.places.shape[0], -1)
        return full.gather(-1, self.places.expand(*full.shape[:-1], -1))

    def embeddings(self, table: Tensor) -> Tensor:
        """Return rotary tables (..., B, n, D) of the places of (..., B or 1, W, D)."""
        full = table.expand(*table.shape[:-3], self.places.shape[0], -1, -1)
        return full.gather(-2, self.places.unsqueeze(-1).expand(*full.shape[:-2], -1, full.shape[-1]))

    def mask(self, mask: Any, *, num_new: int = 0, num_later: int = 0, flash: bool = False) -> Any:
        """Return the attention mask for these places as keys and, in a prefill, as queries.

        Args:
            mask: ``None``; (B, W + t), which tokens may be read; or (B or 1, 1 or H, Q, W + t), bool or added.
            num_new: How many new tokens ask, the last of t; 0 in a prefill, where the places ask.
            num_later: t.
            flash: Whether attention takes masks (B, keys) alone.

        Raises:
            ComponentError: A mask of another kind, or weights of keys beside a kernel that takes none.
        """
        if mask is not None and not isinstance(mask, Tensor):
            raise ComponentError(
                f"reduce_tokens: attention masks must be tensors or None, got {type(mask).__name__}. Use "
                "model.set_attn_implementation('sdpa') or 'flash_attention_2'."
            )
        if flash if mask is None else mask.dim() == 2:
            return self._of_keys(mask)
        if mask is None and self.valid is None and self.bias is None:
            return None
        return self._of_pairs(mask, num_new, num_later)

    def _columns(self, total: int) -> Tensor:
        """Return the keys that are left, (B, n + t)."""
        later = torch.arange(self.width, total, device=self.places.device).expand(self.places.shape[0], -1)
        return torch.cat([self.places, later], dim=1)

    def _of_keys(self, mask: Tensor | None) -> Tensor | None:
        if self.bias is not None:
            raise ComponentError(
                "reduce_tokens: a selector weighs tokens as keys, which this attention kernel cannot. Use "
                "model.set_attn_implementation('sdpa'), or a selector without weights."
            )
        if mask is None:
            return self.valid
        kept = mask.gather(1, self._columns(mask.shape[1]))
        if self.valid is None:
            return kept
        return kept * F.pad(self.valid, (0, kept.shape[1] - self.valid.shape[1]), value=True).to(kept.dtype)

    def _of_pairs(self, mask: Tensor | None, num_new: int, num_later: int) -> Tensor:
        batch, count = self.places.shape
        prefill = num_new == 0
        if mask is None:
            # transformers leaves the mask out where every token reads all before it.
            num_keys = count + num_later
            causal = torch.ones(num_keys, num_keys, dtype=torch.bool, device=self.places.device).tril()
            mask = causal[-(num_new or count) :].expand(batch, 1, -1, -1)
        else:
            columns = self._columns(mask.shape[-1])
            mask = mask.expand(batch, -1, -1, -1)
            mask = mask.gather(3, columns[:, None, None].expand(-1, *mask.shape[1:3], -1))
            if prefill:
                rows = self.places[:, None, :, None]
                mask = mask.gather(2, rows.expand(-1, mask.shape[1], -1, mask.shape[3]))
        if self.valid is not None:
            readable = F.pad(self.valid, (0, mask.shape[-1] - count), value=True)[:, None, None]
            if prefill:  # padding reads itself: a row that reads nothing is NaN in some kernels
                readable = readable | torch.eye(count, dtype=torch.bool, device=mask.device)
            hidden = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
            mask = torch.where(readable, mask, torch.full_like(mask, hidden))
        if self.bias is not None:
            added = F.pad(self.bias, (0, mask.shape[-1] - count))[:, None, None]
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=added.dtype).masked_fill(~mask, torch.finfo(added.dtype).min)
            mask = mask + added.to(mask.dtype)
        return mask
