"""R@K, IoU and GIoU."""

from __future__ import annotations

import torch

from bus_toolkit.evaluation.retrieval.ranking import best_match_ranks, recall_at
from bus_toolkit.losses.boxes import giou_loss, iou
from tests.parity.comparison import Comparison, Measured


def _boxes(seed: int, count: int = 2000) -> torch.Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


def _iou() -> Measured:
    from torchvision.ops import box_iou

    one, two = _boxes(0, 300), _boxes(1, 300)
    return Measured.numbers([(iou(one[:, None], two[None]), box_iou(one, two))])


def _giou() -> Measured:
    from torchvision.ops import generalized_box_iou_loss

    one, two = _boxes(2), _boxes(3)
    return Measured.numbers([(giou_loss(one, two), generalized_box_iou_loss(one, two, eps=0.0))])


def _recall() -> Measured:
    from mmpretrain.evaluation import RetrievalRecall

    draw = torch.Generator().manual_seed(4)
    pairs = []
    for _ in range(50):
        queries, candidates = torch.randn(30, 8, generator=draw), torch.randn(60, 8, generator=draw)
        query_ids, candidate_ids = torch.arange(30), torch.arange(60) // 2
        ranks = best_match_ranks(queries, candidates, query_ids, candidate_ids)
        ours = recall_at(ranks, (1, 5, 10), "")
        right = [(candidate_ids == q).nonzero().flatten().tolist() for q in query_ids]
        theirs = RetrievalRecall.calculate(queries @ candidates.T, right, (1, 5, 10), target_indices=True)
        pairs.append((list(ours.values()), [float(value) / 100 for value in theirs]))
    return Measured.numbers(pairs)


COMPARISONS = (
    Comparison("IoU", "torchvision", _iou, tolerance=1e-12),
    Comparison("GIoU loss", "torchvision", _giou, tolerance=1e-12),
    Comparison("R@1, R@5, R@10, several right ones", "onedl-mmpretrain", _recall, tolerance=1e-6),
)
