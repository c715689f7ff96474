"""The evaluation loop: predictions through the metrics, then re-ranking of the best pairs."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, ValLoop, autocast
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.retrieval.pair_scoring import PrefixCache, TextCache, score_pairs
from bus_toolkit.evaluation.retrieval.ranking import RetrievalSet, build_retrieval_set, retrieval_row
from bus_toolkit.evaluation.retrieval.rerank import Candidates, choose_candidates, rerank_metrics
from bus_toolkit.registry import LOOPS

_log = logging.getLogger(__name__)


@LOOPS.register_module()
class VLPEvalLoop(ValLoop):
    """Evaluate in two stages; goes into ``val_cfg`` and ``test_cfg``.

    First every metric of the evaluator, on what the model predicts. Then, if asked, the best ``rerank_topk`` partners
    of each image and each text are scored by image-text matching, the patches selected under the caption of the pair
    (the second stage of salesforce/ALBEF:Retrieval.py; ``itc_weight: 1`` adds the similarity as
    salesforce/BLIP:train_retrieval.py does). The blocks before the first selector run once an image; they and all
    features stay on the CPU. Ranks share the work by image.

    Args:
        runner: Given by MMEngine.
        dataloader: Given by MMEngine.
        evaluator: Given by MMEngine.
        rerank_topk: Candidates of each query that are re-ranked; 0 leaves the second stage out.
        rerank_batch_size: Pairs scored at a time.
        recall_k: The k of R@k.
        itc_weight: Factor of the first-stage similarity that is added to the match logit.
        fp16: Evaluate under automatic mixed precision.

    Raises:
        ConfigError: A negative ``rerank_topk``, a batch size below one, or re-ranking with a model that cannot.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        *,
        rerank_topk: int = 0,
        rerank_batch_size: int = 64,
        recall_k: Sequence[int] = (1, 5, 10),
        itc_weight: float = 0.0,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if rerank_topk < 0:
            raise ConfigError(
                f"VLPEvalLoop.rerank_topk: must not be negative, got {rerank_topk}. 0 leaves re-ranking out."
            )
        if rerank_batch_size < 1:
            raise ConfigError(f"VLPEvalLoop.rerank_batch_size: must be at least 1, got {rerank_batch_size}.")
        heads = set(getattr(self.bare_model, "heads", {}))
        if rerank_topk and not {"itc", "itm"} <= heads:
            raise ConfigError(
                f"VLPEvalLoop.rerank_topk: re-ranking needs the heads itc and itm, got {sorted(heads)}. "
                "Add them, or set rerank_topk: 0."
            )
        self.rerank_topk, self.rerank_batch_size = rerank_topk, rerank_batch_size
        self.recall_k, self.itc_weight = tuple(recall_k), itc_weight

    @property
    def bare_model(self) -> Any:
        """The model without its distributed wrapper."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    @property
    def stage(self) -> str:
        """``test`` when it runs as the Runner's test loop, else ``val``: whose hooks are called."""
        return "test" if self.runner._test_loop is self else "val"

    def run(self) -> dict[str, float]:
        """Evaluate the data set and return all metrics."""
        stage = self.stage
        self.runner.call_hook(f"before_{stage}")
        self.runner.call_hook(f"before_{stage}_epoch")
        self.runner.model.eval()
        self._rows: list[dict] = []
        self._prefixes = PrefixCache()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        metrics: dict[str, float] = self.evaluator.evaluate(len(self.dataloader.dataset))
        if self.rerank_topk:
            metrics.update(self._second_stage())
        del self._rows, self._prefixes
        self.runner.call_hook(f"after_{stage}_epoch", metrics=metrics)
        self.runner.call_hook(f"after_{stage}")
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Predict one batch; keep what the second stage needs."""
        stage = self.stage
        self.runner.call_hook(f"before_{stage}_iter", batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            outputs = getattr(self.runner.model, f"{stage}_step")(data_batch)
            if self.rerank_topk:
                self._prefixes.add_batch(self.bare_model, data_batch)
        if self.rerank_topk:
            self._rows.extend(row for row in (retrieval_row(sample.to_dict()) for sample in outputs) if row)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(f"after_{stage}_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)

    @torch.no_grad()
    def _second_stage(self) -> dict[str, float]:
        start = time.perf_counter()
        # In the order of the data set, whatever the number of ranks: it decides which caption of an image is its first.
        by_rank = zip_longest(*all_gather_object(self._rows))
        rows = [row for row in chain.from_iterable(by_rank) if row is not None]
        if not rows:
            _log.warning("VLPEvalLoop: nothing is re-ranked. No sample has image_feats, text_feats and image_id.")
            return {}
        data = build_retrieval_set(rows)
        # One rank decides, since a tie may fall differently on another machine.
        decided: list[Candidates | None] = [choose_candidates(data, self.rerank_topk) if get_rank() == 0 else None]
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
        mine = [place for place, row in enumerate(image_rows) if owner[data.image_ids[row]] == get_rank()]
        pairs = [(data.image_ids[image_rows[place]], text_rows[place]) for place in mine]
        self._prefixes.keep_only({image for image, _ in pairs})
        texts = TextCache(
            self.bare_model, data.texts, self.rerank_batch_size, next(self.bare_model.parameters()).device
        )
        with autocast(enabled=self.fp16):
            logits = score_pairs(self.bare_model, self._prefixes, texts, pairs, self.rerank_batch_size)
        scores = torch.full((keys.shape[0],), float("nan"))
        for places, part in all_gather_object((mine, logits)):
            scores[places] = part
        return scores
