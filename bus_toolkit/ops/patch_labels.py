"""Boxes to patch labels: which cells of the patch grid a box covers.

Shapes: B images, M boxes an image, R and C rows and columns of the patch grid, N = R * C patches in row-major order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32


def boxes_to_patch_labels(
    boxes: Tensor,
    image_size: tuple[int, int],
    patch_size: int,
    threshold: float = 0.0,
    valid: Tensor | None = None,
) -> Tensor:
    """Return which patches each box covers by more than ``threshold`` of the patch.

    The patch at row r and column c is the cell ``[c p, (c + 1) p) x [r p, (r + 1) p)`` in pixels. Its label is true
    where the area that it shares with the box, divided by ``p * p``, is above ``threshold``. Parts of a box outside the
    image cover nothing. COPA (arXiv 2308.03475) turns boxes into patch labels; this rule and its threshold are ours.

    Args:
        boxes: (M, 4) of one image or (B, M, 4) padded, corners ``x1, y1, x2, y2`` in pixels of the transformed image.
        image_size: Height and width in pixels.
        patch_size: Side p of a patch in pixels; a border narrower than a patch belongs to none.
        threshold: Share of a patch in [0, 1); 0 means any positive area.
        valid: bool (M,) or (B, M), False for padding; ``None`` when all boxes count.

    Returns:
        bool (M, N), or (B, M, N).

    Raises:
        ValueError: Boxes without four corners, a threshold outside [0, 1), or a patch larger than the image.
    """
    if not 0.0 <= threshold < 1.0:
        raise ValueError(f"boxes_to_patch_labels: threshold must be in [0, 1), got {threshold}.")
    labels = patch_cover(boxes, image_size, patch_size) > threshold
    return labels if valid is None else labels & valid.unsqueeze(-1)


def patch_cover(boxes: Tensor, image_size: tuple[int, int], patch_size: int) -> Tensor:
    """Return the share of each patch, in [0, 1], that each box covers, float32 at least (M, N) or (B, M, N).

    Args:
        boxes: As for ``boxes_to_patch_labels``.
        image_size: Height and width in pixels.
        patch_size: Side p of a patch in pixels.

    Raises:
        ValueError: Boxes without four corners, or a patch larger than the image.
    """
    if boxes.shape[-1] != 4:
        raise ValueError(f"patch_cover: boxes must have shape (..., M, 4), got {tuple(boxes.shape)}.")
    rows, columns = image_size[0] // patch_size, image_size[1] // patch_size
    if rows < 1 or columns < 1:
        raise ValueError(
            f"patch_cover: patch_size must be at most the image size {tuple(image_size)}, got {patch_size}."
        )
    boxes = at_least_float32(boxes)
    overlap_x = _overlap(boxes[..., 0], boxes[..., 2], columns, patch_size)
    overlap_y = _overlap(boxes[..., 1], boxes[..., 3], rows, patch_size)
    area = overlap_y.unsqueeze(-1) * overlap_x.unsqueeze(-2)
    return (area / patch_size**2).flatten(-2)


def carry_to_candidates(values_RN: Tensor, slots_RN: Tensor, num_candidates: int) -> Tensor:
    """Carry numbers of 0 or more of the original patches over to the candidates of a later selector.

    Args:
        values_RN: Floats of the original patches.
        slots_RN: int64, the candidate that each original patch is in, or -1.
        num_candidates: Number of candidates.

    Returns:
        (R, num_candidates), the largest number of the patches in each candidate; 0 where none is in it.
    """
    # One more candidate takes the dropped patches; it is cut off at the end.
    out = values_RN.new_zeros(values_RN.shape[0], num_candidates + 1)
    places = slots_RN.masked_fill(slots_RN < 0, num_candidates)
    out.scatter_reduce_(1, places, values_RN, reduce="amax")
    return out[:, :num_candidates]


def _overlap(low: Tensor, high: Tensor, num_cells: int, patch_size: int) -> Tensor:
    """Return the length in pixels that each interval (..., M) shares with each cell of an axis, (..., M, num_cells)."""
    starts = torch.arange(num_cells, device=low.device, dtype=low.dtype) * patch_size
    left = torch.maximum(low.unsqueeze(-1), starts)
    right = torch.minimum(high.unsqueeze(-1), starts + patch_size)
    return (right - left).clamp(min=0)
