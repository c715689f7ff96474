"""How far boxes are apart. Boxes are corners ``x1, y1, x2, y2`` with ``x1 <= x2`` and ``y1 <= y2`` in any one unit.

Shape suffix: 4 corners; leading dimensions broadcast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32


def box_l1(boxes_4: Tensor, targets_4: Tensor) -> Tensor:
    """Return the sum of the distances of the four corner numbers, (...)."""
    return (at_least_float32(boxes_4) - at_least_float32(targets_4)).abs().sum(dim=-1)


def iou(boxes_4: Tensor, others_4: Tensor) -> Tensor:
    """Return intersection over union, (...) in [0, 1]; two boxes without area give 0."""
    shared, union = _shared_and_union(at_least_float32(boxes_4), at_least_float32(others_4))
    return shared / union


def giou_loss(boxes_4: Tensor, targets_4: Tensor) -> Tensor:
    """Return 1 - GIoU, (...) in [0, 2] (arXiv 1902.09630, algorithm 1).

    GIoU is the IoU less the share of the smallest enclosing box that neither box covers, so that boxes that do not meet
    pull each other too.
    """
    boxes_4, targets_4 = at_least_float32(boxes_4), at_least_float32(targets_4)
    shared, union = _shared_and_union(boxes_4, targets_4)
    low = torch.minimum(boxes_4[..., :2], targets_4[..., :2])
    high = torch.maximum(boxes_4[..., 2:], targets_4[..., 2:])
    hull = _positive((high - low).prod(dim=-1))
    return 1.0 - shared / union + (hull - union) / hull


def _shared_and_union(boxes_4: Tensor, others_4: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.maximum(boxes_4[..., :2], others_4[..., :2])
    high = torch.minimum(boxes_4[..., 2:], others_4[..., 2:])
    # Boxes that do not meet have a negative side here, and share nothing.
    shared = (high - low).clamp(min=0).prod(dim=-1)
    return shared, _positive(_area(boxes_4) + _area(others_4) - shared)


def _area(boxes_4: Tensor) -> Tensor:
    return (boxes_4[..., 2:] - boxes_4[..., :2]).prod(dim=-1)


def _positive(area: Tensor) -> Tensor:
    """Keep a divisor and its gradient finite where boxes are points."""
    return area.clamp(min=1e-12)
