"""The end of a pipeline: boxes cut to the image, then everything packed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from bus_toolkit.labels import as_label
from bus_toolkit.registry import TRANSFORMS

_ANSWERS = ("question_type", "answer_type", "gt_answer", "gt_answer_weight", "answers")
_KEYS = ("text", "image_id", "text_id", "gt_boxes", "named", "region_only", "conversation", *_ANSWERS)


@TRANSFORMS.register_module()
class PackRegions(BaseTransform):
    """Pack a sample as mmpretrain's ``PackInputs`` does, with its caption and the boxes that are left in view.

    Boxes are cut to the image; those that lie outside are dropped, and so is their entry in ``named``; where no named
    object is left in view all of them are dropped. Fields of the data sample: ``text image_id text_id img_path``,
    ``gt_label`` where the data set has one, ``region_only`` for rows of a ``RegionBatchSampler``, what
    ``QuestionAnswers`` says of a question and its answers, ``conversation`` of ``Conversations``, and where boxes are
    in view ``gt_boxes`` float32 (n, 4), corners in pixels, and ``named`` bool (n,).
    Slot: the last of a ``pipeline``.
    """

    def __init__(self) -> None:
        import mmpretrain.datasets  # noqa: F401  # registers PackInputs

        self._pack = TRANSFORMS.build({"type": "mmpretrain.PackInputs", "algorithm_keys": _KEYS})

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``inputs`` uint8 (3, H, W), blue green red, and ``data_samples``."""
        if "gt_bboxes" in results:
            height, width = results["img"].shape[:2]
            # A crop may have cut a box; the rest of it still shows the object.
            limits = np.array([width, height, width, height], dtype=np.float32)
            boxes = np.clip(results["gt_bboxes"], 0, limits)
            if not np.isfinite(boxes).all():
                raise OSError(f"a box is not finite: {boxes[~np.isfinite(boxes).all(axis=1)][0].tolist()}")
            seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
            named = results["named"]
            # Of named objects that are all out of view the labels would say that the caption names nothing here.
            if seen.any() and ((named & seen).any() or not named.any()):
                # Tensors in the data sample, under a name of their own: ``gt_bboxes`` stays mmpretrain's NumPy field.
                results["gt_boxes"] = torch.from_numpy(boxes[seen].astype(np.float32))
                results["named"] = torch.from_numpy(results["named"][seen])
        if results.get("gt_label") is not None:
            results["gt_label"] = _checked_label(results["gt_label"])
        if "gt_boxes" not in results:
            results.pop("named", None)
        return self._pack(results)


def _checked_label(label: Any) -> int:
    """Return a class label; ``PackInputs`` would cut fractions off."""
    try:
        return as_label(label)
    except ValueError as error:
        raise OSError(str(error)) from error
