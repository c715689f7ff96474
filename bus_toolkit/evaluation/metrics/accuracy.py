"""Accuracy of image-text matching and of classification, each beside what no skill would reach."""

from __future__ import annotations

import math
from collections import Counter

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
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

    def row(self, sample: dict) -> dict:
        """Return which answers are right; a NaN of the negative alone says that the batch had no other caption."""
        if not has(sample, "itm_positive", "itm_negative"):
            return {}
        positive, negative = float(sample["itm_positive"]), float(sample["itm_negative"])
        row = {"positive": positive > 0.0}
        if not math.isnan(negative) or math.isnan(positive):
            row["negative"] = negative <= 0.0
        return row

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the balanced accuracy and its two halves."""
        positive = [row["positive"] for row in rows]
        negative = [row["negative"] for row in rows if "negative" in row]
        if not negative:
            return self.compute_metrics([{}] * len(rows))
        right, wrong = sum(positive) / len(positive), sum(negative) / len(negative)
        return {"accuracy": (right + wrong) / 2, "accuracy_positive": right, "accuracy_negative": wrong}


@METRICS.register_module()
class ClassificationAccuracy(SampleMetric):
    """Measure the share of right labels; ``majority`` is what the most frequent label of this data would reach.

    Keys under ``classification/``: ``accuracy``, ``majority``. Goes into ``val_evaluator``.
    """

    default_prefix = "classification"
    needs = "gt_label and pred_label (a data set with labels and a model with a classification head)"

    def row(self, sample: dict) -> dict:
        """Return the two labels.

        Raises:
            DataError: One is no whole number.
        """
        if not has(sample, "gt_label", "pred_label"):
            return {}
        try:
            return {"truth": as_label(sample["gt_label"]), "guess": as_label(sample["pred_label"])}
        except ValueError as error:
            raise DataError(f"ClassificationAccuracy: gt_label and pred_label: {error}. Correct the data.") from error

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the accuracy and the majority baseline."""
        truths = Counter(row["truth"] for row in rows)
        right = sum(row["truth"] == row["guess"] for row in rows)
        return {"accuracy": right / len(rows), "majority": truths.most_common(1)[0][1] / len(rows)}
