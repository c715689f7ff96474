"""An evaluation with a second stage: what it keeps of each batch, and how the ranks share the pairs to score.

Dims: I images, T texts, P pairs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank
from mmengine.runner import autocast
from torch import Tensor

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.metrics.base import WriteLines
from bus_toolkit.evaluation.metrics.sample_ids import as_key
from bus_toolkit.evaluation.retrieval.device_memory import DeviceMemory
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from bus_toolkit.evaluation.retrieval.pair_scoring import EncodedTexts, score_pairs
from bus_toolkit.evaluation.retrieval.pairs import Pairs
from bus_toolkit.evaluation.retrieval.query_lines import query_lines
from bus_toolkit.evaluation.retrieval.ranking import RetrievalSet, build_retrieval_set, retrieval_row
from bus_toolkit.evaluation.retrieval.rerank import Candidates, choose_candidates, rerank, rerank_metrics
from bus_toolkit.evaluation.retrieval.shortlist import Shortlist
from bus_toolkit.heads.itm import MatchScore, match_scores

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RerankSettings:
    """What is re-ranked, and how.

    Attributes:
        topk: Candidates of each query.
        batch_size: Pairs scored at a time.
        recall_k: The k of R@k.
        itc_weight: Factor of the first-stage similarity that is added to the match score.
        device_memory: GiB of image and text tokens that may stay on the device.
        fp16: Score under automatic mixed precision.
        match_score: By which logits of the ITM head pairs are ordered.
        shortlist: So many candidates of each query are scored under their text; 0 for all.
    """

    topk: int
    batch_size: int
    recall_k: Sequence[int]
    itc_weight: float
    device_memory: float
    fp16: bool
    match_score: MatchScore = "margin"
    shortlist: int = 0


class Reranking:
    """One evaluation whose best pairs are re-ranked.

    Args:
        model: The bare model, with an ITC and an ITM head.
        settings: What is re-ranked, and how.
    """

    def __init__(self, model: Any, settings: RerankSettings) -> None:
        self.model, self.settings = model, settings
        self._rows: list[dict] = []
        memory = DeviceMemory(settings.device_memory, owner="VLPEvalLoop.rerank_device_memory")
        self._images = ImageTokens("VLPEvalLoop.rerank_topk", memory)

    @torch.no_grad()
    def predict(self, data_batch: Mapping[str, Any]) -> list[Any]:
        """Return the model's predictions for a batch as a loader gives it; keep its images and features.

        The blocks before the first selector run once an image: their tokens serve the predictions and all later pairs.

        Raises:
            DataError: A sample without ``image_id``.
        """
        batch = self.model.data_preprocessor(dict(data_batch), False)
        samples = batch["data_samples"]
        if any(sample.get("image_id") is None for sample in samples):
            raise DataError(
                "VLPEvalLoop.rerank_topk: images are re-ranked by their image_id, got a sample without one. Let the "
                "data set give each image an image_id, or set rerank_topk: 0."
            )
        shared = self._images.encode(self.model, batch["images"], [as_key(sample.image_id) for sample in samples])
        outputs = self.model.predict(batch["images"], samples, shared, fields=self.model.wanted_fields)
        self._rows.extend(row for row in (retrieval_row(sample.to_dict()) for sample in outputs) if row)
        return outputs

    @torch.no_grad()
    def metrics(self, write_lines: WriteLines | None = None) -> dict[str, float]:
        """Return the metrics after re-ranking; empty, with a warning, where no sample has features.

        Args:
            write_lines: Gets a line for each query, on the main rank.
        """
        start = time.perf_counter()
        # In the order of the data set, whatever the number of ranks: it decides which caption of an image is its first.
        by_rank = zip_longest(*all_gather_object(self._rows))
        rows = [row for row in chain.from_iterable(by_rank) if row is not None]
        if not rows:
            _log.warning("VLPEvalLoop: nothing is re-ranked. No sample has image_feats, text_feats and image_id.")
            return {}
        data = build_retrieval_set(rows)
        # One rank decides, since a tie may fall differently on another machine.
        decided: list[Candidates | None] = [choose_candidates(data, self.settings.topk) if get_rank() == 0 else None]
        broadcast_object_list(decided)
        candidates = decided[0]
        assert candidates is not None
        scores, shortlist = self._scores(data, candidates)
        rankings = rerank(data, candidates, scores, self.settings.itc_weight, shortlist)
        metrics = rerank_metrics(data, candidates, scores, rankings, recall_k=self.settings.recall_k)
        if write_lines is not None and get_rank() == 0:
            for way, (ranks, best) in rankings.items():
                write_lines(query_lines(data, way, ranks, best, metric="retrieval", stage="rerank_"))
        _log.info("Re-ranked %d image-text pairs in %.1f s.", scores.shape[0], time.perf_counter() - start)
        return metrics

    def _scores(self, data: RetrievalSet, candidates: Candidates) -> tuple[Tensor, Shortlist | None]:
        """Return the match scores (P,) of all pairs, or of those of a shortlist, NaN for the others."""
        owner: dict[Hashable, int] = {}
        for rank, held in enumerate(all_gather_object(self._images.ids())):
            owner |= {image_id: rank for image_id in held if image_id not in owner}
        pairs = candidates.pairs(data)
        images = {data.image_ids[row] for row in pairs.images.unique().tolist()}
        self._images.keep_only({image for image in images if owner[image] == get_rank()})
        texts = EncodedTexts(self.model, data.texts, self.settings.batch_size, self._images.memory)
        everywhere = torch.arange(len(pairs.keys))
        if not self.settings.shortlist:
            return self._score(data, pairs, everywhere, owner, texts), None
        free = self._score(data, pairs, everywhere, owner, texts, select_by_text=False)
        free = pairs.weighted(free, data.image_feats, data.text_feats, self.settings.itc_weight)
        shortlist = Shortlist(pairs, free, self.settings.shortlist)
        places = torch.searchsorted(pairs.keys, candidates.listed_keys(data, shortlist))
        return self._score(data, pairs, places, owner, texts), shortlist

    def _score(
        self,
        data: RetrievalSet,
        pairs: Pairs,
        places: Tensor,
        owner: Mapping[Hashable, int],
        texts: EncodedTexts,
        *,
        select_by_text: bool = True,
    ) -> Tensor:
        """Return the match scores (P,) of the pairs at ``places``; a rank scores those of the images that it holds."""
        rows, captions = pairs.images[places].tolist(), pairs.texts[places].tolist()
        wanted = zip(places.tolist(), (data.image_ids[row] for row in rows), captions, strict=True)
        mine = [(place, (image, text)) for place, image, text in wanted if owner[image] == get_rank()]
        batch_size, own = self.settings.batch_size, [pair for _, pair in mine]
        with autocast(enabled=self.settings.fp16):
            logits = score_pairs(self.model, self._images, texts, own, batch_size, select_by_text=select_by_text)
        positions, parts = zip(*all_gather_object(([place for place, _ in mine], logits)), strict=True)
        scored = torch.cat(parts)
        scores = scored.new_full((len(pairs.keys),), float("nan"))
        scores[list(chain.from_iterable(positions))] = match_scores(scored, self.settings.match_score)
        return scores
