"""Which patches of an image are left: as a mask, as indices and as boxes in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bus_toolkit.errors import DataError


@dataclass(frozen=True, repr=False)
class KeptPatches:
    """The patches of B images that are left as tokens of their own; patch i is at row ``i // columns`` of the grid.

    Attributes:
        mask: bool (B, N), True = kept.
        grid: Rows and columns of the N patches.
    """

    mask: Tensor
    grid: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of images."""
        return self.mask.shape[0]

    def __repr__(self) -> str:
        """Return how many of how many patches are kept."""
        total, (rows, columns) = self.mask.shape[1], self.grid
        if self.mask.is_meta:
            return f"KeptPatches({len(self)} images, {total} patches, grid {rows} x {columns})"
        return f"KeptPatches({len(self)} images, {self.share()} patches kept, grid {rows} x {columns})"

    def share(self) -> str:
        """Return ``16 of 64``, or with a range where images differ."""
        low, high = (int(number) for number in self.counts.aminmax()) if len(self) else (0, 0)
        return f"{low if low == high else f'{low} to {high}'} of {self.mask.shape[1]}"

    @property
    def counts(self) -> Tensor:
        """How many patches each image keeps, int64 (B,)."""
        return self.mask.sum(dim=1)

    @property
    def on_grid(self) -> Tensor:
        """The mask in rows and columns, bool (B, rows, columns)."""
        return self.mask.unflatten(1, self.grid)

    @property
    def indices(self) -> list[Tensor]:
        """For each image the numbers of its kept patches, ascending, int64 (K,); images may keep different numbers."""
        return [row.nonzero().flatten() for row in self.mask]

    def boxes(self, height: int, width: int) -> list[Tensor]:
        """Return for each image the boxes of its kept patches in pixels, left, top, right, bottom, float32 (K, 4).

        Args:
            height: Of the image that the boxes are for: the model's input, or the picture it was resized from.
            width: The same.

        Raises:
            DataError: A side that is not above 0.
        """
        if not (height > 0 and width > 0):
            raise DataError(f"boxes: height and width must be above 0 pixels, got {height} and {width}.")
        rows, columns = self.grid
        size = torch.tensor([width / columns, height / rows] * 2, device=self.mask.device)
        boxes = []
        for patches in self.indices:
            left, top = patches % columns, patches // columns
            boxes.append(torch.stack([left, top, left + 1, top + 1], dim=1) * size)
        return boxes
