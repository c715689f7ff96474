"""Accuracy of predicted boxes, beside what can be had without reading the expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
from bus_toolkit.losses.boxes import iou
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.registry import METRICS

_MOST_CONSTANTS = 256


@METRICS.register_module()
class GroundingAccuracy(SampleMetric):
    """Compare the predicted box of each expression with that of the object it means.

    A box is right if its intersection over union with the true one is at least ``threshold`` (0.5: "Acc@0.5" of
    RefCOCO). Boxes are compared in pixels of the model's input image. Samples count whose field ``named`` is true of
    exactly one of ``gt_boxes``.

    Keys under ``grounding/``: ``accuracy``, ``mean_iou``, ``num_expressions``; and two baselines. ``random_object`` is
    the accuracy to expect of an object drawn evenly from all boxes of the image: what finding objects is worth without
    reading. ``constant_box`` is that of the best one box for all images among the mean and up to 256 of the true boxes
    of this data: what is had without looking. Goes into ``val_evaluator``.

    Args:
        threshold: Least intersection over union of a right box, in (0, 1].
        prefix: The start of the keys.

    Raises:
        ConfigError: ``threshold`` outside (0, 1].
    """

    default_prefix = "grounding"
    needs = "pred_box, gt_boxes and one named box (a data set with boxes and a model with a grounding head)"
    reads = ("pred_box",)

    def __init__(self, threshold: float = 0.5, *, prefix: str | None = None) -> None:
        if not 0.0 < threshold <= 1.0:
            raise ConfigError(f"GroundingAccuracy.threshold: must be in (0, 1], got {threshold}. 0.5 is RefCOCO's.")
        super().__init__(prefix=prefix)
        self.threshold = threshold

    def row(self, sample: dict) -> dict:
        """Return predicted and true box (4,), and the share of the image's boxes that would be right."""
        if not has(sample, "pred_box", "gt_boxes", "named"):
            return {}
        boxes, named = _cpu(sample["gt_boxes"]).reshape(-1, 4), _cpu(sample["named"]).bool()
        if int(named.sum()) != 1:
            return {}
        truth = boxes[named][0]
        right = (iou(boxes, truth) >= self.threshold).float().mean()
        return {"guess": _cpu(sample["pred_box"]), "truth": truth, "random": float(right)}

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        overlap = float(iou(row["guess"], row["truth"]))
        boxes = {"prediction": row["guess"].tolist(), "answer": row["truth"].tolist()}
        yield {**boxes, "correct": int(overlap >= self.threshold), "iou": overlap}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return accuracy, mean IoU and the baselines."""
        guesses = torch.stack([row["guess"] for row in rows])
        truths = torch.stack([row["truth"] for row in rows])
        overlaps = iou(guesses, truths)
        return {
            "accuracy": float((overlaps >= self.threshold).float().mean()),
            "mean_iou": float(overlaps.mean()),
            "random_object": sum(row["random"] for row in rows) / len(rows),
            "constant_box": self._constant(truths),
            "num_expressions": float(len(rows)),
        }

    def _constant(self, truths: Tensor) -> float:
        """Return the accuracy of the best constant box among some of the true ones and their mean."""
        some = truths[:: -(-len(truths) // _MOST_CONSTANTS)]
        constants = torch.cat([truths.mean(dim=0, keepdim=True), some])
        return max(float((iou(box, truths) >= self.threshold).float().mean()) for box in constants)


def _cpu(value: Tensor) -> Tensor:
    tensor = torch.as_tensor(value).detach().cpu()
    return at_least_float32(tensor) if tensor.is_floating_point() else tensor
