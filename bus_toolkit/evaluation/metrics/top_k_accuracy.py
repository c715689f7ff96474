"""Accuracy of classification over the nearest classes of each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import override

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.metrics.base import SampleMetric, has, to_numpy
from bus_toolkit.evaluation.retrieval.ranking import checked_ks
from bus_toolkit.labels import as_label
from bus_toolkit.registry import METRICS


@METRICS.register_module()
class TopKAccuracy(SampleMetric):
    """Measure how often the right class is among the k nearest ones.

    Keys under ``zero_shot/``: ``accuracy@<k>``, and ``num_images``. Goes into ``val_evaluator`` beside a
    ``ZeroShotLoop``.

    Args:
        topk: The k of accuracy@k.
        prefix: The start of the keys.

    Raises:
        ConfigError: A k that is no whole number of 1 or more, or none.
    """

    default_prefix = "zero_shot"
    needs = "gt_label and pred_classes (a data set with labels, and val_cfg: {type: ZeroShotLoop})"
    reads = ("pred_classes",)

    def __init__(self, topk: Sequence[int] = (1, 5), *, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.topk = checked_ks(topk, "TopKAccuracy.topk")

    def row(self, sample: dict) -> dict:
        """Return the label and the nearest classes.

        Raises:
            DataError: The label is no whole number.
            ConfigError: There are fewer nearest classes than k.
        """
        if not has(sample, "gt_label", "pred_classes"):
            return {}
        nearest = to_numpy(sample["pred_classes"]).tolist()
        if len(nearest) < max(self.topk):
            raise ConfigError(
                f"TopKAccuracy.topk: must be at most the {len(nearest)} classes that ZeroShotLoop.keep leaves, got "
                f"{max(self.topk)}. Lower it; if the data have more classes, raising keep does, too."
            )
        try:
            return {"truth": as_label(sample["gt_label"]), "nearest": nearest}
        except ValueError as error:
            raise DataError(f"TopKAccuracy: gt_label: {error}. Correct the data.") from error

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        nearest, truth = row["nearest"], row["truth"]
        rank = nearest.index(truth) + 1 if truth in nearest else None
        yield {"prediction": nearest[0], "answer": truth, "correct": int(rank == 1), "rank": rank}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the shares."""
        right = {k: sum(row["truth"] in row["nearest"][:k] for row in rows) for k in self.topk}
        return {f"accuracy@{k}": count / len(rows) for k, count in right.items()} | {"num_images": float(len(rows))}
