"""A grid of patches cut into any number of cells of about the same size.

Shape suffixes: N patches of a grid of R rows and C columns, row by row; K cells.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Cells of one size may be so many times longer in one direction before cells of two sizes are preferred.
_LONGEST = 2.0


def even_cells(grid: tuple[int, int], count: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Cut a grid into ``count`` cells, and return them with their centres.

    The rows are divided into bands, and each band into cells, all as evenly as whole patches allow: heights and widths
    differ by one at most, as the borders of adaptive average pooling, but no patch is in two cells. Where ``count`` is
    the product of divisors of rows and columns, the cells are equal rectangles: 2 x 2 patches for a quarter. The
    number of bands is the one that makes cells closest to squares, and equal cells up to twice as long as wide come
    before those of different sizes (our choice).

    Args:
        grid: Rows R and columns C.
        count: K, from 1 to N.
        device: Of the results.

    Returns:
        int64 (N,), the cell of each patch, 0 to K - 1, and int64 (K,), ascending, the patch at the centre of each
        cell, up and left of it where there are two.
    """
    (rows, columns), bands = grid, num_bands(grid, count)
    row = torch.arange(rows, device=device).unsqueeze(1)
    column = torch.arange(columns, device=device)
    band = row * bands // rows  # (R, 1)
    first, width = _cells_of_band(band, bands, count)
    cells_RC = first + column * width // columns

    number = torch.arange(count, device=device)
    band = ((number + 1) * bands - 1) // count  # (K,): the band that holds the cell
    first, width = _cells_of_band(band, bands, count)
    centres_K = _middle(band, bands, rows) * columns + _middle(number - first, width, columns)
    return cells_RC.flatten(), centres_K


def num_bands(grid: tuple[int, int], count: int) -> int:
    """Return into how many bands of rows a grid is divided for ``count`` cells."""
    rows, columns = grid
    allowed = range(-(-count // columns), min(rows, count) + 1)
    return min(allowed, key=lambda bands: _unevenness(grid, count, bands))


def _unevenness(grid: tuple[int, int], count: int, bands: int) -> tuple[bool, float]:
    rows, columns = grid
    # How many times longer than wide, or wider than long, a cell is.
    stretch = abs(math.log((rows / bands) / (columns * bands / count)))
    equal = not (rows % bands or count % bands or columns % (count // bands))
    return not (equal and stretch <= math.log(_LONGEST) + 1e-9), stretch


def _cells_of_band(band: Tensor, bands: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the first cell of each band, and how many it has."""
    first = band * count // bands
    return first, (band + 1) * count // bands - first


def _middle(part: Tensor, parts: Tensor | int, length: int) -> Tensor:
    """Return the middle place of a part of a line of ``length`` places that is divided evenly into ``parts``."""
    first, end = -(-part * length // parts), -(-(part + 1) * length // parts)
    return (first + end - 1) // 2
