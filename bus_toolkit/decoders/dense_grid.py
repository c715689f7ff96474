"""Tokens back on the grid of the image's patches, for decoders that work on neighbourhoods.

Shape suffixes: B batch, N patches of the image (row by row), S visual tokens without the prefix, Q cells, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.follow_plans import scatter_back
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.structures import VisualTokens


def origin_of(visual: VisualTokens, decoder: str) -> Tensor:
    """Return the token that each patch ended in, int64 (B, N), or -1; -1 too for one that must not be read.

    Args:
        visual: Tokens of the backbone.
        decoder: The registered name of who asks, for the message.

    Raises:
        ComponentError: The tokens come from another decoder and have no place on the grid.
    """
    origin = visual.read_origin
    if origin is None:
        raise ComponentError(
            f"model.decoder: {decoder} works on the patch grid and needs the origin of every patch, got None (tokens "
            "of another decoder). It reads tokens of the backbone. Put it directly after the backbone."
        )
    return origin


def dense_tokens(visual: VisualTokens, decoder: str) -> tuple[Tensor, Tensor]:
    """Return the token of every patch (B, N, D), and which patches have one, bool (B, N).

    A patch that was fused or merged takes the token it ended in; a dropped or hidden one is zero.

    Args:
        visual: Tokens of the backbone.
        decoder: The registered name of who asks, for the message.

    Raises:
        ComponentError: The tokens come from another decoder.
    """
    origin_BN = origin_of(visual, decoder)
    return scatter_back(visual.embeds[:, visual.num_prefix :], origin_BN), origin_BN >= 0


def square_side(num_queries: int) -> int:
    """Return the side of a square of ``num_queries`` cells.

    Raises:
        ValueError: It is not the square of a whole number of 1 or more.
    """
    side = math.isqrt(max(num_queries, 0))
    if side < 1 or side * side != num_queries:
        nearest = max(1, round(math.sqrt(max(num_queries, 1)))) ** 2
        raise ValueError(
            f"num_queries: must be a square number (1, 4, 9, ...), got {num_queries}. Write e.g. {nearest}."
        )
    return side


def check_cells(side: int, grid: tuple[int, int]) -> None:
    """Refuse ``side`` x ``side`` cells on a grid with fewer patches along an axis.

    Raises:
        ComponentError: There are fewer.
    """
    if side > min(grid):
        raise ComponentError(
            f"model.decoder.num_queries: must be at most {min(grid) ** 2} (the largest square within {grid[0]} x "
            f"{grid[1]} patches), got {side * side}. Lower it."
        )


def average_cells(dense_BND: Tensor, present_BN: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Average the patches of each of ``side`` x ``side`` cells, (B, Q, D), row by row.

    The cells are those of ``torch.nn.functional.adaptive_avg_pool2d``: equal where ``side`` divides the grid, else they
    share patches at their borders. One matrix product does it, because torch's own function has no deterministic
    backward pass on a GPU; sums of 0/1 weights, divided once, stay exact in half precision longer than means do.

    Args:
        dense_BND: The token of every patch; zero where ``present_BN`` is false.
        present_BN: Which patches count, bool. A cell without any is zero.
        grid: Rows and columns of the patches.
        side: Cells along each axis.

    Raises:
        ComponentError: More cells than patches along an axis.
    """
    check_cells(side, grid)
    rows, columns = (_members(length, side, dense_BND.device) for length in grid)
    # A patch is in a cell if both its row and its column are: (side, 1, rows, 1) & (1, side, 1, columns) -> (Q, N).
    cells_QN = (rows[:, None, :, None] & columns[None, :, None, :]).reshape(side * side, -1).to(dense_BND.dtype)
    # Absent patches are zero in dense_BND; leaving them out of the count as well makes the result their mean.
    exact = at_least_float32_dtype(dense_BND)  # half precision rounds counts above 256 or 2048
    counts_BQ = present_BN.to(exact) @ cells_QN.T.to(exact)
    return ((cells_QN @ dense_BND) / counts_BQ.clamp(min=1).unsqueeze(-1)).to(dense_BND.dtype)


def _members(length: int, cells: int, device: torch.device) -> Tensor:
    """Return which of ``length`` places each cell covers, bool (cells, length)."""
    places, cell = torch.arange(length, device=device), torch.arange(cells, device=device).unsqueeze(1)
    # As torch's adaptive pooling cuts an axis: from the floor of the start to the ceiling of the end.
    first = cell * length // cells
    last = ((cell + 1) * length - 1) // cells
    return (places >= first) & (places <= last)
