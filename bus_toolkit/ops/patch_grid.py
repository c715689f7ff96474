"""Where the patches of an image lie, in shares of its sides.

Shape suffixes: B boxes, N patches of a grid of R rows and C columns, row by row. Boxes are corners ``x1, y1, x2, y2``
divided by the image's width and height, so that the image is the square from 0 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32


def patch_centres(grid: tuple[int, int], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the centre x, y of each patch, (N, 2) of ``dtype``."""
    rows, columns = ((torch.arange(count, device=device, dtype=dtype) + 0.5) / count for count in grid)
    y_RC, x_RC = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x_RC, y_RC], dim=-1).flatten(0, 1)


def shares_of_box(boxes_B4: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return how much of each box lies in each patch, (B, N): the shares of a box within the image sum to 1.

    Parts of a box outside the image are in no patch; a box without area is in none. Boxes in float64 give float64.
    """
    boxes_B4 = at_least_float32(boxes_B4)
    y_BR = _shares_of_span(boxes_B4[:, 1], boxes_B4[:, 3], grid[0])
    x_BC = _shares_of_span(boxes_B4[:, 0], boxes_B4[:, 2], grid[1])
    return (y_BR.unsqueeze(2) * x_BC.unsqueeze(1)).flatten(1)


def _shares_of_span(low_B: Tensor, high_B: Tensor, count: int) -> Tensor:
    """Return how much of each span lies in each of ``count`` cells of the unit interval."""
    starts = torch.arange(count, device=low_B.device, dtype=low_B.dtype) / count
    shared = torch.minimum(high_B.unsqueeze(1), starts + 1 / count) - torch.maximum(low_B.unsqueeze(1), starts)
    length_B = (high_B - low_B).clamp(min=torch.finfo(low_B.dtype).eps)
    return shared.clamp(min=0) / length_B.unsqueeze(1)
