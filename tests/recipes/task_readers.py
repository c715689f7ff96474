"""Read from a resolved downstream recipe what the sourced values of its task name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config

SCORES = {"logit": "match_logit", "margin": "match_margin"}


def _head(config: Config) -> Mapping[str, Any]:
    """Return the head of the task: of several (contrast and matching, boxes and patches) the first."""
    return next(iter(config.model.heads.values()))


def _search(key: str, default: Any = None) -> Callable[[Config], Any]:
    return lambda config: (_head(config).get("search") or {}).get(key, default)


def _written(key: str) -> Callable[[Config], Any]:
    """Return how many tokens are written at least or at most; mPLUG and ALBEF count neither [CLS] nor [SEP]."""
    given = {"min_length": 2, "max_length": 1}[key]

    def reader(config: Config) -> Any:
        length = _search(key)(config)
        return None if length is None else length - given * (_search("length_measure")(config) == "wu")

    return reader


TASK_READERS: Mapping[str, Callable[[Config], Any]] = {
    "eval.k_test": lambda c: _head(c).get("rank_topk") or c.test_cfg.get("rerank_topk"),
    "eval.rerank_score": lambda c: SCORES[c.test_cfg.get("match_score", "margin")],
    "eval.batch": lambda c: c.test_dataloader.batch_size,
    "eval.answers": lambda c: _head(c).get("inference", "generate"),
    "eval.beams": _search("beam_size"),
    "eval.min_length": _written("min_length"),
    "eval.max_length": _written("max_length"),
    "eval.length_penalty": _search("length_penalty", 1.0),
    "head.classes": lambda c: _head(c).get("num_classes"),
    "batch.accumulate": lambda c: c.optim_wrapper.get("accumulative_counts", 1),
    "contrast.alpha": lambda c: _head(c).get("alpha"),
    "contrast.distill": lambda c: bool(_head(c).get("alpha")) and c.model.momentum is not None,
    "lm.label_smoothing": lambda c: _head(c).get("label_smoothing", 0.0),
    "lm.distill": lambda c: bool(_head(c).get("alpha")),
}
