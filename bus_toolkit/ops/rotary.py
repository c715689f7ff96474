"""The angles of EVA-02's rotary positions, which lie in the state dict of mmpretrain's class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bus_toolkit.ops.position_table import Grid, PositionTable

_POSITIONS = 16  # an image spans so many, whatever its size: those of the pre-training at 224 px
_THETA = 10000.0


def eva02_angles(grid: tuple[int, int], width: int, kind: str) -> Tensor:
    """Return the cosines or sines (N, E) of EVA-02 for a grid of patches and heads of width E.

    As in baaivision/EVA:EVA-02/asuka/rope.py and timm: an image spans 16 positions, and each frequency serves two
    neighbouring channels. mmpretrain's class starts from others (half of E positions, frequencies in turn), and gets
    these from its checkpoints.

    Args:
        grid: Rows and columns.
        width: E, a multiple of 4.
        kind: ``cos`` or ``sin``.
    """
    half = width // 2
    frequencies = _THETA ** -(torch.arange(0, half, 2).float() / half)
    places = [torch.arange(n).float() / n * _POSITIONS for n in grid]
    rows, columns = (torch.outer(p, frequencies).repeat_interleave(2, dim=1) for p in places)
    angles = torch.cat(
        [rows.unsqueeze(1).expand(-1, grid[1], -1), columns.unsqueeze(0).expand(grid[0], -1, -1)], dim=-1
    ).flatten(0, 1)
    return angles.cos() if kind == "cos" else angles.sin()


@dataclass(frozen=True)
class RotaryAngles(PositionTable):
    """Cosines or sines (N, E) of EVA-02's rotary positions, which are computed again for another grid.

    Angles by another rule than EVA-02's (those that mmpretrain's class starts from) are replaced with the model's own.
    """

    def rows_of(self, grid: Grid) -> int:
        """Return the number of patches."""
        return grid[0] * grid[1]

    def _side(self, rows: int) -> int | None:
        return math.isqrt(rows) if rows > 0 and math.isqrt(rows) ** 2 == rows else None

    def _resized(self, tensor: Tensor, source: Grid, own: Tensor) -> Tensor:
        kind = self.name[-3:]
        usual = eva02_angles(source, tensor.shape[1], kind)
        precision = max(1e-3, torch.finfo(tensor.dtype).eps)
        is_usual = torch.allclose(usual, tensor.float().cpu(), atol=precision)
        return eva02_angles(self.grid, tensor.shape[1], kind).to(tensor) if is_usual else own.clone()
