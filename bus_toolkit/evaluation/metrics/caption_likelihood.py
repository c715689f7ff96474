"""How well a language model without images predicts captions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from bus_toolkit.evaluation.metrics.base import SampleMetric, has
from bus_toolkit.registry import METRICS


@METRICS.register_module()
class CaptionLikelihood(SampleMetric):
    """Measure the mean surprise of a caption's tokens, end mark included.

    Keys under ``caption/``: ``nll``, nats a token over all tokens of the data set, and ``perplexity``, its exponential.
    Goes into ``val_evaluator`` of a ``CaptionLanguageModel``.
    """

    default_prefix = "caption"
    needs = "caption_log_probs (the model CaptionLanguageModel)"
    reads = ("caption_log_probs",)

    def row(self, sample: dict) -> dict:
        """Return the summed surprise and the number of tokens."""
        if not has(sample, "caption_log_probs"):
            return {}
        log_probs = sample["caption_log_probs"]
        return {"surprise": -math.fsum(log_probs), "tokens": len(log_probs)}

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        yield {"nll": row["surprise"] / row["tokens"], "tokens": row["tokens"]}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return nats a token and the perplexity."""
        nll = math.fsum(row["surprise"] for row in rows) / sum(row["tokens"] for row in rows)
        return {"nll": nll, "perplexity": math.exp(nll)}
