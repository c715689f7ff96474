"""The cheap checks: every row as it enters the pipeline, its caption, its ids and its boxes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.data.text_survey import TextSurvey
from bus_toolkit.data.verify.report import Fault, Report


class RowChecker:
    """Check the rows of a data set one after the other; ids are remembered.

    Args:
        dataset: It has ``get_data_info``.
        survey: Counts what the tokenizer leaves out of the texts; ``None`` without a tokenizer.
        report: Takes the faults.
    """

    def __init__(self, dataset: Any, survey: TextSurvey | None, report: Report) -> None:
        self.dataset, self.survey, self.report = dataset, survey, report
        self._pictures: dict[Any, str] = {}
        self._captions: dict[Any, int] = {}
        self._boxed: set[Any] = set()

    def check(self, rows: Iterable[int]) -> list[int]:
        """Return the rows that are worth reading: those without a fault."""
        good = [row for row in rows if self._check(row)]
        self.report.count("images", len(self._pictures))
        self.report.count("images with boxes", len(self._boxed))
        return good

    def _check(self, row: int) -> bool:
        self.report.count("rows")
        try:
            info = self.dataset.get_data_info(row)
        except BadSample as error:
            self.report.add(Fault("row", error.path, error.reason, row))
            return False
        faults = [*self._caption_faults(info), *self._id_faults(info, row), *_box_faults(info)]
        for kind, reason in faults:
            self.report.add(Fault(kind, str(info.get("img_path")), reason, row, _text_id(info)))
        return not faults

    def _caption_faults(self, info: Mapping[str, Any]) -> list[tuple[str, str]]:
        if "text" not in info:
            return []
        try:
            check_caption(info)
        except BadSample as error:
            return [("caption", error.reason)]
        if self.survey is None:
            return []
        self.survey.add(info)
        return []

    def _id_faults(self, info: Mapping[str, Any], row: int) -> list[tuple[str, str]]:
        """Return ids that mean two pictures, or two texts."""
        faults = []
        image, text = info.get("image_id", f"row {row}"), info.get("text_id")
        data = info.get("img_bytes")
        picture = str(info.get("img_path")) if data is None else hashlib.sha256(data).hexdigest()
        if self._pictures.setdefault(image, picture) != picture:
            faults.append(("id", f"image id {image} is that of another picture too"))
        if text is not None and self._captions.setdefault(text, row) != row:
            faults.append(("id", f"its text id is that of row {self._captions[text]}"))
        if "gt_bboxes" in info:
            self._boxed.add(image)
        return faults


def _box_faults(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    boxes = info.get("gt_bboxes")
    if boxes is None or np.isfinite(boxes).all():
        return []
    return [("box", f"a box is not finite: {boxes[~np.isfinite(boxes).all(axis=1)][0].tolist()}")]


def _text_id(info: Mapping[str, Any]) -> int | str | None:
    """Return the id of a text in its file; ``COCORetrieval`` numbers texts itself and keeps the id elsewhere."""
    return info.get("ori_id", info.get("text_id"))
