"""Greedy choices of a diverse subset, all images of a batch at once; the loop is over what is chosen.

Ties go to the lower index. Shape suffixes: B batch, N tokens, K chosen ones, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops import at_least_float32


@torch.no_grad()
def cosines(features_BND: Tensor, others_BMD: Tensor) -> Tensor:
    """Return the cosine of each feature with each of the others, (B, N, M), in float32 at least."""
    # No autocast: in half precision near duplicates would tie.
    with torch.autocast(features_BND.device.type, enabled=False):
        features_BND = F.normalize(at_least_float32(features_BND), dim=-1)
        others_BMD = F.normalize(at_least_float32(others_BMD), dim=-1)
        return features_BND @ others_BMD.transpose(1, 2)


@torch.no_grad()
def farthest_first(distances_BNN: Tensor, count: int) -> Tensor:
    """Choose tokens of which the nearest two are far apart: the greedy answer to the max-min diversity problem.

    The first is the one with the largest distance to its nearest neighbour, each next one has the largest distance to
    the nearest of those chosen.

    Args:
        distances_BNN: Distances, the same both ways.
        count: K, 1 to N.

    Returns:
        int64 (B, K), in the order of the choice.
    """
    batch = torch.arange(distances_BNN.shape[0], device=distances_BNN.device)
    itself = torch.eye(distances_BNN.shape[1], dtype=torch.bool, device=distances_BNN.device)
    pick_B = distances_BNN.masked_fill(itself, torch.inf).amin(dim=2).argmax(dim=1)
    gap_BN = distances_BNN[batch, pick_B]
    taken_BN = torch.zeros_like(gap_BN, dtype=torch.bool).scatter(1, pick_B.unsqueeze(1), True)
    order = [pick_B]
    for _ in range(count - 1):
        pick_B = gap_BN.masked_fill(taken_BN, -torch.inf).argmax(dim=1)
        gap_BN = torch.minimum(gap_BN, distances_BNN[batch, pick_B])
        taken_BN = taken_BN.scatter(1, pick_B.unsqueeze(1), True)
        order.append(pick_B)
    return torch.stack(order, dim=1)


@torch.no_grad()
def greedy_determinant(kernel_BNN: Tensor, count: int) -> Tensor:
    """Choose tokens one by one so that the determinant of their part of the kernel grows most.

    That is greedy maximum a posteriori inference of a determinantal point process, with the incremental Cholesky
    factor of arXiv 1709.05135, algorithm 1. Of tokens that add nothing (their gain is rounding) the lowest index
    comes first.

    Args:
        kernel_BNN: Symmetric, positive semi-definite.
        count: K, 1 to N.

    Returns:
        int64 (B, K), in the order of the choice.
    """
    batch = torch.arange(kernel_BNN.shape[0], device=kernel_BNN.device)
    gain_BN = kernel_BNN.diagonal(dim1=1, dim2=2)
    nothing_B1 = gain_BN.amax(dim=1, keepdim=True) * 16 * torch.finfo(gain_BN.dtype).eps
    taken_BN = torch.zeros_like(gain_BN, dtype=torch.bool)
    factor_BKN = kernel_BNN.new_zeros(kernel_BNN.shape[0], count, kernel_BNN.shape[1])
    order = []
    for step in range(count):
        gain_BN = torch.where(gain_BN > nothing_B1, gain_BN, 0.0)
        pick_B = gain_BN.masked_fill(taken_BN, -torch.inf).argmax(dim=1)
        taken_BN = taken_BN.scatter(1, pick_B.unsqueeze(1), True)
        before_BSN = factor_BKN[:, :step]
        # What the earlier ones say about each token already, taken off the kernel's row.
        shared_BN = torch.bmm(before_BSN[batch, :, pick_B].unsqueeze(1), before_BSN).squeeze(1)
        own_B1 = gain_BN[batch, pick_B].unsqueeze(1)
        row_BN = (kernel_BNN[batch, pick_B] - shared_BN) / own_B1.sqrt()
        row_BN = torch.where(own_B1 > 0, row_BN, 0.0)
        factor_BKN[:, step] = row_BN
        gain_BN = gain_BN - row_BN.square()
        order.append(pick_B)
    return torch.stack(order, dim=1)


def scores_of_order(order_BK: Tensor, num_tokens: int, dtype: torch.dtype) -> Tensor:
    """Return scores (B, N) that rank tokens by when they were chosen: 1 for the first, 0 for those never chosen."""
    batch, count = order_BK.shape
    falling_K = torch.arange(count, 0, -1, device=order_BK.device, dtype=dtype) / count
    return falling_K.new_zeros(batch, num_tokens).scatter(1, order_BK, falling_K.expand(batch, count))
