"""The second stage of an evaluation: what it keeps of each batch, and how the ranks share the pairs to score.

Dims: I images, T texts, P pairs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank
from mmengine.runner import autocast
from torch import Tensor

from bus_toolkit.evaluation.retrieval.pair_scoring import PrefixCache, TextCache, score_pairs
from bus_toolkit.evaluation.retrieval.ranking import RetrievalSet, build_retrieval_set, retrieval_row
from bus_toolkit.evaluation.retrieval.rerank import Candidates, choose_candidates, rerank_metrics

_log = logging.getLogger(__name__)


class Reranking:
    """One re-ranking of the pairs of a data set.

    Args:
        model: The bare model, with an ITC and an ITM head.
        topk: Candidates of each query.
        batch_size: Pairs scored at a time.
        recall_k: The k of R@k.
        itc_weight: Factor of the first-stage similarity that is added to the match logit.
        fp16: Score under automatic mixed precision.
    """

    def __init__(
        self, model: Any, *, topk: int, batch_size: int, recall_k: Sequence[int], itc_weight: float, fp16: bool
    ) -> None:
        self.model, self.topk, self.batch_size = model, topk, batch_size
        self.recall_k, self.itc_weight, self.fp16 = recall_k, itc_weight, fp16
        self._rows: list[dict] = []
        self._prefixes = PrefixCache("VLPEvalLoop.rerank_topk")

    @torch.no_grad()
    def add_batch(self, data_batch: Mapping[str, Any], outputs: Sequence[Any]) -> None:
        """Keep the features of a predicted batch, and its images before the first selector."""
        with autocast(enabled=self.fp16):
            self._prefixes.add_batch(self.model, dict(data_batch))
        self._rows.extend(row for row in (retrieval_row(sample.to_dict()) for sample in outputs) if row)

    @torch.no_grad()
    def metrics(self) -> dict[str, float]:
        """Return the metrics after re-ranking; empty, with a warning, where no sample has features."""
        start = time.perf_counter()
        # In the order of the data set, whatever the number of ranks: it decides which caption of an image is its first.
        by_rank = zip_longest(*all_gather_object(self._rows))
        rows = [row for row in chain.from_iterable(by_rank) if row is not None]
        if not rows:
            _log.warning("VLPEvalLoop: nothing is re-ranked. No sample has image_feats, text_feats and image_id.")
            return {}
        data = build_retrieval_set(rows)
        # One rank decides, since a tie may fall differently on another machine.
        decided: list[Candidates | None] = [choose_candidates(data, self.topk) if get_rank() == 0 else None]
        broadcast_object_list(decided)
        candidates = decided[0]
        assert candidates is not None
        scores = self._score(data, candidates)
        metrics = rerank_metrics(data, candidates, scores, recall_k=self.recall_k, itc_weight=self.itc_weight)
        _log.info("Re-ranked %d image-text pairs in %.1f s.", scores.shape[0], time.perf_counter() - start)
        return metrics

    def _score(self, data: RetrievalSet, candidates: Candidates) -> Tensor:
        """Return the match logits (P,) of all pairs; each rank scores those of the images that it holds."""
        owner: dict[Hashable, int] = {}
        for rank, held in enumerate(all_gather_object(self._prefixes.ids())):
            owner |= {image_id: rank for image_id in held if image_id not in owner}
        keys = candidates.pair_keys(data)
        image_rows, text_rows = (keys // candidates.num_texts).tolist(), (keys % candidates.num_texts).tolist()
        mine = [position for position, row in enumerate(image_rows) if owner[data.image_ids[row]] == get_rank()]
        pairs = [(data.image_ids[image_rows[position]], text_rows[position]) for position in mine]
        self._prefixes.keep_only({image for image, _ in pairs})
        texts = TextCache(self.model, data.texts, self.batch_size, next(self.model.parameters()).device)
        with autocast(enabled=self.fp16):
            logits = score_pairs(self.model, self._prefixes, texts, pairs, self.batch_size)
        scores = torch.full((keys.shape[0],), float("nan"))
        for positions, part in all_gather_object((mine, logits)):
            scores[positions] = part
        return scores
