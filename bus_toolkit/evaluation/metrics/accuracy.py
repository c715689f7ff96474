"""Accuracy of image-text matching and of classification, each beside what no skill would reach."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
from bus_toolkit.evaluation.metrics.kinds import by_kind
from bus_toolkit.labels import as_label
from bus_toolkit.registry import METRICS


@METRICS.register_module()
class ITMAccuracy(SampleMetric):
    """Measure how often the matching head distinguishes an image's own caption from another caption of the batch.

    Keys under ``itm/``: ``accuracy`` is balanced, the mean of ``accuracy_positive`` (own caption: logit above 0) and
    ``accuracy_negative`` (other caption: logit not above 0). A constant answer reaches 0.5. Goes into
    ``val_evaluator``.
    """

    default_prefix = "itm"
    needs = "itm_positive and itm_negative (a model with an ITM head, and batches of at least two different images)"
    reads = ("itm_positive", "itm_negative")

    def row(self, sample: dict) -> dict:
        """Return which answers are right; a NaN of the negative alone says that the batch had no other caption."""
        if not has(sample, "itm_positive", "itm_negative"):
            return {}
        positive, negative = float(sample["itm_positive"]), float(sample["itm_negative"])
        row = {"positive": positive > 0.0}
        if not math.isnan(negative) or math.isnan(positive):
            row["negative"] = negative <= 0.0
        return row

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        for kind, answer in (("positive", 1), ("negative", 0)):
            if kind in row:
                right = int(row[kind])
                yield {"kind": kind, "prediction": answer if right else 1 - answer, "answer": answer, "correct": right}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the balanced accuracy and its two halves."""
        positive = [row["positive"] for row in rows]
        negative = [row["negative"] for row in rows if "negative" in row]
        if not negative:
            return self._not_reported(len(rows))
        right, wrong = sum(positive) / len(positive), sum(negative) / len(negative)
        return {"accuracy": (right + wrong) / 2, "accuracy_positive": right, "accuracy_negative": wrong}


@METRICS.register_module()
class ClassificationAccuracy(SampleMetric):
    """Measure the share of right labels; ``majority`` is what the most frequent label of this data would reach.

    Keys under ``classification/``: ``accuracy``, ``majority``, and with ``by`` also ``accuracy_<kind>`` and
    ``majority_<kind>`` of each kind, whose majority is that of its own labels: what is had by reading the kind alone.
    Goes into ``val_evaluator``.

    Args:
        by: A field of the data that says the kind of a sample, such as ``question_type``.
        prefix: The start of the keys.
    """

    default_prefix = "classification"
    needs = "gt_label and pred_label (a data set with labels and a model with a classification head)"
    reads = ("pred_label",)

    def __init__(self, by: str | None = None, *, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.by = by

    def row(self, sample: dict) -> dict:
        """Return the two labels, and the kind if that is asked for.

        Raises:
            DataError: A label is no whole number.
            ConfigError: The sample does not say its kind.
        """
        if not has(sample, "gt_label", "pred_label"):
            return {}
        try:
            row: dict[str, Any] = {"truth": as_label(sample["gt_label"]), "guess": as_label(sample["pred_label"])}
        except ValueError as error:
            raise DataError(f"ClassificationAccuracy: gt_label and pred_label: {error}. Correct the data.") from error
        if self.by is None:
            return row
        if sample.get(self.by) is None:
            raise ConfigError(
                f"ClassificationAccuracy.by: must be a field of every sample, got {self.by!r} for one with the fields "
                f"{', '.join(sorted(sample))}. Name another, let the pipeline pack it, or leave by out."
            )
        return {**row, "kind": str(sample[self.by])}

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        yield {"prediction": row["guess"], "answer": row["truth"], "correct": int(row["truth"] == row["guess"])}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the accuracy and the majority baseline, over all rows and of each kind."""
        figures = _against_majority(rows)
        if self.by is not None:
            for kind, of_kind in by_kind([row["kind"] for row in rows], rows).items():
                figures |= {f"{name}_{kind}": value for name, value in _against_majority(of_kind).items()}
        return figures


def _against_majority(rows: list[dict]) -> dict[str, float]:
    truths = Counter(row["truth"] for row in rows)
    right = sum(row["truth"] == row["guess"] for row in rows)
    return {"accuracy": right / len(rows), "majority": truths.most_common(1)[0][1] / len(rows)}
