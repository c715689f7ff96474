"""Does the selector look where the caption points? The area under the ROC curve of its patch scores."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from typing_extensions import override

from bus_toolkit.evaluation.metrics.base import SampleMetric, has, to_numpy
from bus_toolkit.registry import METRICS

_log = logging.getLogger(__name__)
_NAMED, _BACKGROUND = 1, -1


@METRICS.register_module()
class PatchTextAUC(SampleMetric):
    """Measure how well scores separate the patches that the caption names from the others, over all patches of all
    images.

    Keys under ``patch_text/``: ``auc`` (named objects against everything else), ``auc_named`` (named objects against
    objects that the caption does not name, background left out), and both with another caption's scores
    (``auc_shuffled``, ``auc_named_shuffled``). A selector that finds objects without reading scores a high ``auc``;
    only reading lifts ``auc_named`` above ``auc_named_shuffled``. 0.5 is chance. Goes into ``val_evaluator``.
    """

    default_prefix = "patch_text"
    needs = "boxes and patch scores (annotated images, and a selector that a patch-text head trains)"
    reads = ()  # models with and without such a head may share an evaluator
    also_reads = ("patch_scores", "patch_scores_shuffled", "object_labels")

    def row(self, sample: dict) -> dict:
        """Return the scores (N,) under the own and another caption, and the kind of each patch (N,).

        An image that is alone in its batch has no other caption: its own scores count all the same.
        """
        if not has(sample, "patch_scores", "object_labels"):
            return {}
        row = {"own": to_numpy(sample["patch_scores"]), "kind": to_numpy(sample["object_labels"])}
        if has(sample, "patch_scores_shuffled"):
            row["other"] = to_numpy(sample["patch_scores_shuffled"])
        return row

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        # Of the patches of this image alone, the own text's scores; undefined areas are null.
        kind, scores = row["kind"].reshape(-1), row["own"].reshape(-1)
        on_object = kind != _BACKGROUND
        named = roc_auc(scores[on_object], kind[on_object] == _NAMED)
        yield {"auc": roc_auc(scores, kind == _NAMED), "auc_named": named}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return those of the four areas that are defined, and a note for the others."""
        metrics: dict[str, float] = {}
        for suffix, source in (("", "own"), ("_shuffled", "other")):
            scored = [row for row in rows if source in row]
            if not scored:
                _log.warning("PatchTextAUC: auc_shuffled is not reported. No image shares its batch with another.")
                continue
            kind = np.concatenate([row["kind"].reshape(-1) for row in scored])
            scores = np.concatenate([row[source].reshape(-1) for row in scored])
            on_object = kind != _BACKGROUND
            metrics |= _defined(f"auc{suffix}", scores, kind == _NAMED)
            metrics |= _defined(f"auc_named{suffix}", scores[on_object], kind[on_object] == _NAMED)
        return metrics


def _defined(name: str, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    value = roc_auc(scores, labels)
    if value is None:
        positive, nan = int(labels.sum()), int(np.isnan(scores).sum())
        shown = f"{positive} positive and {labels.size - positive} negative patches, {nan} NaN scores"
        _log.warning("PatchTextAUC: %s is not reported, it is undefined for %s.", name, shown)
        return {}
    return {name: value}


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the chance that a random positive scores above a random negative, ties counting half.

    Exact: the Mann-Whitney statistic from average ranks, in O(M log M).

    Args:
        scores: (M,), any monotone scale; infinities are allowed.
        labels: bool (M,).

    Returns:
        The area in [0, 1], or ``None`` where it is undefined: only one class, or a score that is not a number.
    """
    positives = int(labels.sum())
    negatives = labels.size - positives
    if not positives or not negatives or np.isnan(scores).any():
        return None
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    average_rank = np.cumsum(counts) - (counts - 1) / 2.0
    rank_sum = average_rank[group.reshape(-1)][labels].sum(dtype=np.float64)
    return float((rank_sum - positives * (positives + 1) / 2.0) / (float(positives) * negatives))
