"""Recall of retrieval from features alone: the first stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.evaluation.metrics.base import SampleMetric
from bus_toolkit.evaluation.metrics.sample_ids import SampleId
from bus_toolkit.evaluation.retrieval.pairs import nearest
from bus_toolkit.evaluation.retrieval.query_lines import query_lines
from bus_toolkit.evaluation.retrieval.ranking import (
    RetrievalSet,
    best_match_ranks,
    build_retrieval_set,
    checked_ks,
    recall_at,
    retrieval_row,
)
from bus_toolkit.registry import METRICS


@METRICS.register_module()
class RetrievalRecall(SampleMetric):
    """Measure recall at k from image to text and back, with image features that no caption touched.

    Keys under ``retrieval/``: ``i2t_R@<k>``, ``t2i_R@<k>``, ``num_images``, ``num_texts``. Where the selection reads
    the caption, features of an image under its own caption can give the answer away through which patches survived.
    They are measured too: ``paired_i2t_R@<k>``, ``paired_t2i_R@<k>`` (each image under its first caption, against these
    first captions) and ``leak_R@<k>``, the mean of both directions minus the same from text-free features. Never quote
    a paired number as retrieval. All captions of an image are right answers; ties count as misses. Goes into
    ``val_evaluator``.

    Args:
        topk: The k of R@k.
        prefix: The start of the keys.

    Raises:
        ConfigError: A k that is no whole number of 1 or more, or none.
    """

    default_prefix = "retrieval"
    needs = "image_feats, text_feats and image_id (a model with an ITC head)"
    reads = ("image_feats", "text_feats")
    also_reads = ("paired_image_feats",)

    def __init__(self, topk: Sequence[int] = (1, 5, 10), *, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.topk = checked_ks(topk, "RetrievalRecall.topk")

    def row(self, sample: dict) -> dict:
        """Return ids and features."""
        return retrieval_row(sample)

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the recalls of both directions, text-free and paired."""
        data = build_retrieval_set(rows)
        images = torch.arange(len(data.image_ids))
        metrics = both_ways(data.image_feats, data.text_feats, images, data.image_of_text, self.topk, "")
        metrics |= {"num_images": float(len(data.image_ids)), "num_texts": float(len(data.texts))}
        return metrics | self._leak(data, images)

    @override
    def sample_lines(self, samples: Sequence[SampleId], rows: Sequence[dict]) -> Iterator[dict[str, Any]]:
        data = build_retrieval_set(rows)
        images = torch.arange(len(data.image_ids))
        ranks = best_match_ranks(data.image_feats, data.text_feats, images, data.image_of_text)
        best = nearest(data.image_feats, data.text_feats, 1).indices[:, 0]
        yield from query_lines(data, "i2t", ranks, best, metric=self.prefix)
        ranks = best_match_ranks(data.text_feats, data.image_feats, data.image_of_text, images)
        best = nearest(data.text_feats, data.image_feats, 1).indices[:, 0]
        yield from query_lines(data, "t2i", ranks, best, metric=self.prefix)

    def _leak(self, data: RetrievalSet, images: Tensor) -> dict[str, float]:
        if data.paired_feats is None:
            return {}
        texts = data.text_feats[data.first_text]
        paired = both_ways(data.paired_feats, texts, images, images, self.topk, "paired_")
        free = both_ways(data.image_feats, texts, images, images, self.topk, "")
        for k in self.topk:
            gaps = [paired[f"paired_{way}_R@{k}"] - free[f"{way}_R@{k}"] for way in ("i2t", "t2i")]
            paired[f"leak_R@{k}"] = sum(gaps) / 2
        return paired


def both_ways(
    image_feats: Tensor, text_feats: Tensor, image_ids: Tensor, text_ids: Tensor, topk: Sequence[int], prefix: str
) -> dict[str, float]:
    """Return R@k from image to text and back.

    Args:
        image_feats: (I, E).
        text_feats: (T, E).
        image_ids: int64 (I,).
        text_ids: int64 (T,), equal to the image's where they belong together.
        topk: The k of R@k.
        prefix: The start of the keys.
    """
    i2t = best_match_ranks(image_feats, text_feats, image_ids, text_ids)
    t2i = best_match_ranks(text_feats, image_feats, text_ids, image_ids)
    return recall_at(i2t, topk, f"{prefix}i2t_") | recall_at(t2i, topk, f"{prefix}t2i_")
