"""Clustering by density peaks.

A centre is dense and far from anything denser (Rodriguez and Laio, Science 2014; density from the nearest neighbours as
in DPC-kNN). Details as in Gumpest/SparseVLMs:llava/model/language_model/utils.py, except that the index, not noise,
breaks ties of equal densities.

Shape suffixes: B batch, M points, C centres, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops import at_least_float32


@torch.no_grad()
def density_peaks(points_BMD: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose centres and give every point to the nearest one.

    Ties go to the lower index, also between equally dense points. Distances are over ``sqrt(D)``; as many neighbours
    as there are centres, the point itself among them, make a density.

    Args:
        points_BMD: Points; distances are taken in float32, or float64 for points in float64.
        count: Number C of centres, 1 to M.

    Returns:
        Centres int64 (B, C), ascending positions among the points; and int64 (B, M), for each point the number of its
        centre, 0 to C - 1.
    """
    # The way over a matrix product loses the small distances that densities are made of.
    points_BMD = at_least_float32(points_BMD)
    distances_BMM = torch.cdist(points_BMD, points_BMD, compute_mode="donot_use_mm_for_euclid_dist")
    distances_BMM = distances_BMM / points_BMD.shape[-1] ** 0.5
    nearest_BMC = distances_BMM.topk(count, dim=2, largest=False).values
    density_BM = (-nearest_BMC.square().mean(dim=2)).exp()
    to_denser_BM = _distance_to_denser(distances_BMM, density_BM)
    order_BM = torch.sort(to_denser_BM * density_BM, dim=1, descending=True, stable=True).indices
    centers_BC = order_BM[:, :count].sort(dim=1).values
    index_BCM = centers_BC.unsqueeze(2).expand(-1, -1, points_BMD.shape[1])
    to_centers_BCM = distances_BMM.gather(1, index_BCM)
    # A centre is its own, even where another one lies at the same place.
    to_centers_BCM = to_centers_BCM.scatter(2, centers_BC.unsqueeze(2), -1.0)
    return centers_BC, to_centers_BCM.min(dim=1).indices


def _distance_to_denser(distances_BMM: Tensor, density_BM: Tensor) -> Tensor:
    """Return the distance (B, M) to the nearest denser point; the densest one gets the largest distance of all."""
    num_points = density_BM.shape[1]
    earlier_MM = torch.ones(num_points, num_points, dtype=torch.bool, device=density_BM.device).tril(diagonal=-1)
    own_BM1, other_B1M = density_BM.unsqueeze(2), density_BM.unsqueeze(1)
    denser_BMM = (other_B1M > own_BM1) | ((other_B1M == own_BM1) & earlier_MM)
    largest_B11 = distances_BMM.amax(dim=(1, 2), keepdim=True)
    return torch.where(denser_BMM, distances_BMM, largest_B11).amin(dim=2)
