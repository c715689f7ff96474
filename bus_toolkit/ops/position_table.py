"""Tables of positions for another grid of patches: which rows belong to which grid, and how they are interpolated.

A table holds a row for each patch, or for each offset between two patches, and says nothing about the grid of these
patches: 64 rows are of 8 x 8 patches or of 4 x 16. So the grid comes with the weights (``GRID_KEY`` in the metadata of
a state dict), and where it does not, a square one is assumed if the number of rows allows it.

Shape suffixes: P rows of other tokens, N patches, D width, H heads, E width of a head.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.precision import at_least_float32

Grid = tuple[int, int]

# In the metadata of a module's state dict: rows and columns of patches that its tables are of.
GRID_KEY = "patch_grid"
_PREFIX_COUNTS = (0, 1, 2)  # no token before the patches, a class token, and a distillation token beside it


class PositionMisfit(Exception):
    """A table of positions cannot be brought to the grid of a model; the message says why."""


@dataclass(frozen=True)
class PositionTable(ABC):
    """A tensor of a module with rows by position.

    Attributes:
        name: Its name in the module's state dict.
        grid: Rows and columns of patches that the module's own tensor is of.
        others: Rows that belong to no patch: those of prefix tokens.
        note: What the user should know of tensors of its kind that were interpolated.
    """

    note: ClassVar[str] = ""
    name: str
    grid: Grid
    others: int = 0

    @abstractmethod
    def rows_of(self, grid: Grid) -> int:
        """Return how many rows a grid of patches has."""

    @abstractmethod
    def _side(self, rows: int) -> int | None:
        """Return the side of the square grid that has so many rows, or ``None``."""

    @abstractmethod
    def _resized(self, tensor: Tensor, source: Grid, own: Tensor) -> Tensor:
        """Return ``tensor`` of the grid ``source`` for the own grid; ``own`` is the module's tensor."""

    def fit(self, tensor: Tensor, own: Tensor, source: Grid | None) -> Tensor:
        """Return a tensor of the grid ``source`` for the own grid.

        Args:
            tensor: The tensor.
            own: The module's own one.
            source: Rows and columns of patches; ``None`` where they are not known: then the own grid is assumed for as
                many rows as it has, and a square one for others.

        Raises:
            PositionMisfit: Another width, a grid that is not known and not square, or one that does not have so many
                rows.
        """
        if tensor.dim() != own.dim() or tensor.shape[-1] != own.shape[-1]:
            raise PositionMisfit(f"{self.name} has the shape {tuple(tensor.shape)}, the model {tuple(own.shape)}")
        tensor = self._with_same_others(tensor, own, source)
        rows = tensor.shape[-2] - self.others
        if source is None:
            side = self._side(rows)
            if rows == self.rows_of(self.grid):
                return tensor
            if side is None:
                raise PositionMisfit(
                    f"{self.name} has positions of a grid that is not known and not square, {rows} rows, the model of "
                    f"{self.grid[0]} x {self.grid[1]} patches"
                )
            source = (side, side)
        if self.rows_of(source) != rows:
            raise PositionMisfit(f"{self.name} has {rows} rows of positions, which {source[0]} x {source[1]} have not")
        return tensor if source == self.grid else self._resized(tensor, source, own)

    def below(self, start: str) -> PositionTable:
        """Return the same for a module that has this one, whose names start with ``start`` there."""
        return replace(self, name=start + self.name)

    def is_ambiguous(self, tensor: Tensor) -> bool:
        """Return whether a tensor of an unknown grid may be of the own grid and as well of a square one."""
        rows = tensor.shape[-2] - self.others
        return rows == self.rows_of(self.grid) and self._side(rows) not in (None, self.grid[0])

    def _with_same_others(self, tensor: Tensor, own: Tensor, source: Grid | None) -> Tensor:
        """Return ``tensor`` with as many rows of other tokens as the own one."""
        return tensor


@dataclass(frozen=True)
class AbsolutePositions(PositionTable):
    """A vector for each patch, (1, P + N, D) or (P + N, D), added to its token.

    Attributes:
        mode: As in ``torch.nn.functional.interpolate``.
        antialias: Likewise.
    """

    mode: str = "bicubic"
    antialias: bool = False

    def rows_of(self, grid: Grid) -> int:
        """Return the number of patches."""
        return grid[0] * grid[1]

    def _side(self, rows: int) -> int | None:
        return math.isqrt(rows) if rows > 0 and math.isqrt(rows) ** 2 == rows else None

    def _with_same_others(self, tensor: Tensor, own: Tensor, source: Grid | None) -> Tensor:
        if source is not None:
            others: int | None = tensor.shape[-2] - self.rows_of(source)
        elif tensor.shape == own.shape:
            others = self.others
        else:
            rows = tensor.shape[-2]
            others = next((n for n in _PREFIX_COUNTS if self._side(rows - n) is not None), None)
        if others == self.others or others is None or others < 0:
            return tensor
        if others == 0 and self.others == 1:  # a class token without a position is one whose position is zero
            return torch.cat([torch.zeros_like(tensor[..., :1, :]), tensor], dim=-2)
        raise PositionMisfit(
            f"{self.name}: {others} tokens before the patches have a position in it, {self.others} in the model"
        )

    def _resized(self, tensor: Tensor, source: Grid, own: Tensor) -> Tensor:
        prefix, patches = tensor[..., : self.others, :], tensor[..., self.others :, :]
        plane = patches.reshape(*source, -1).permute(2, 0, 1)  # (D, rows, columns)
        plane = _interpolated(plane, self.grid, mode=self.mode, antialias=self.antialias)
        fitted = plane.flatten(1).t().to(tensor.dtype)  # (N, D)
        return torch.cat([prefix, fitted.expand(*prefix.shape[:-2], -1, -1)], dim=-2)


@dataclass(frozen=True)
class RelativePositions(PositionTable):
    """A bias of each head for each offset of two patches, ((2 rows - 1)(2 columns - 1) + P, H).

    The rows of other tokens (from and to the class token, and to itself) come last. Ours: bicubic over the plane of
    offsets, which are equally far apart. The loaders of BEiT, Swin, mmpretrain and timm stretch the offsets in a
    geometric sequence first, so that the middle of the table keeps its resolution; they give other values.

    Attributes:
        index: Name of the buffer that holds each pair's row, which belongs to a grid as well; empty for none.
        is_of_image: Whether the grid is that of the whole image, and not that of a window.
    """

    note = (
        "Relative positions were interpolated evenly; the loaders of BEiT, Swin and timm stretch the offsets in a "
        "geometric sequence, which gives other values."
    )

    index: str = ""
    is_of_image: bool = True

    def rows_of(self, grid: Grid) -> int:
        """Return the number of offsets."""
        return (2 * grid[0] - 1) * (2 * grid[1] - 1)

    def fit(self, tensor: Tensor, own: Tensor, source: Grid | None) -> Tensor:
        """Return the table for the own grid; that of a window does not follow the image's grid."""
        return super().fit(tensor, own, source if self.is_of_image else None)

    def below(self, start: str) -> PositionTable:
        """Return the same with the names of a module that has this one."""
        return replace(self, name=start + self.name, index=start + self.index if self.index else "")

    def _side(self, rows: int) -> int | None:
        span = math.isqrt(max(rows, 0))
        return (span + 1) // 2 if span % 2 and span**2 == rows else None

    def _resized(self, tensor: Tensor, source: Grid, own: Tensor) -> Tensor:
        rows = self.rows_of(source)
        plane = tensor[:rows].t().unflatten(1, (2 * source[0] - 1, 2 * source[1] - 1))  # (H, offsets down, across)
        plane = _interpolated(plane, (2 * self.grid[0] - 1, 2 * self.grid[1] - 1), mode="bicubic", antialias=False)
        return torch.cat([plane.flatten(1).t().to(tensor.dtype), tensor[rows:]])


def _interpolated(plane: Tensor, size: Grid, *, mode: str, antialias: bool) -> Tensor:
    """Return a plane (C, rows, columns) in another size, at least in float32."""
    plane = at_least_float32(plane).unsqueeze(0)
    return F.interpolate(plane, size=size, mode=mode, align_corners=False, antialias=antialias).squeeze(0)


def change(name: str, given: Tensor, fitted: Tensor) -> str:
    """Return in a few words what was done to a tensor that was fitted."""
    before, after = tuple(given.shape), tuple(fitted.shape)
    return f"{name} {before} to {after}" if before != after else f"{name} {before} to as many of another grid"


def fit_tables(
    state_dict: MutableMapping[str, Tensor],
    prefix: str,
    tables: Sequence[PositionTable],
    own: MutableMapping[str, Tensor],
    source: Grid | None,
) -> list[str]:
    """Bring the position tables in ``state_dict`` to the grid of a module, in place.

    Args:
        state_dict: Tensors to load; what is not there is left out.
        prefix: What comes before the module's names in it.
        tables: The module's tables.
        own: The module's own tensors.
        source: Rows and columns of patches that the tensors are of, where known.

    Returns:
        Names of those that were changed, with both shapes, for the log.

    Raises:
        PositionMisfit: One of them cannot be fitted.
    """
    changed = []
    for table in tables:
        given = state_dict.get(prefix + table.name)
        if given is None or table.name not in own:
            continue
        fitted = table.fit(given, own[table.name], source)
        state_dict[prefix + table.name] = fitted
        if fitted is given:
            continue
        changed.append(change(prefix + table.name, given, fitted))
        if isinstance(table, RelativePositions) and prefix + table.index in state_dict:
            state_dict[prefix + table.index] = own[table.index]
    return changed
