"""The angles of EVA-02's rotary positions, which lie in the state dict of mmpretrain's class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

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


def fit_angles(angles: Tensor, grid: tuple[int, int], kind: str) -> Tensor | None:
    """Return EVA-02's cosines or sines for another ``grid``, or ``None`` if ``angles`` (N, E) are not EVA-02's."""
    side = math.isqrt(angles.shape[0])
    if side**2 != angles.shape[0]:
        return None
    original = eva02_angles((side, side), angles.shape[1], kind)
    return eva02_angles(grid, angles.shape[1], kind) if torch.allclose(original, angles.float(), atol=1e-3) else None
