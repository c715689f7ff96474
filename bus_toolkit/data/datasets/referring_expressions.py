"""Referring expressions with the boxes of their images: RefCOCO, RefCOCO+, RefCOCOg, and the scenes' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.coco_boxes import read_instances
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.annotations.references import ImageEntry, Reference, read_images, read_references
from bus_toolkit.data.datasets.base import SampleDataset, image_folder
from bus_toolkit.data.transforms.blind import refuse_blind_transforms, refuse_lost_targets
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS

# Annotators and roundings overshoot the border a little; a box further out belongs to another image or scale.
_SLACK = 1.0


@DATASETS.register_module()
class ReferringExpressions(SampleDataset):
    """Read expressions that each mean one object of an image; one sample an expression.

    Before the pipeline a sample has ``img_path``, ``text`` (the expression), ``image_id``, ``text_id`` (``sent_id``),
    ``gt_bboxes`` float32 (n, 4), all boxes of the image, corners in pixels, and ``named`` bool (n,), true for the
    object that is meant alone; where the instances state the size of the image also ``stated_size`` (width, height).
    Slot: ``dataset`` of a data loader.

    Args:
        refs_file: JSON, ``[{"ref_id", "image_id", "ann_id", "split", "sentences": [{"sent_id", "sent"}]}]``: what
            ``bus-toolkit prepare refcoco`` makes of RefCOCO's pickles, which are never opened here.
        instances_file: COCO instances with ``images``; ``ann_id`` is the ``id`` of one. Crowds do not count.
        img_dir: Folder of the images, whose names are the instances' ``file_name``.
        splits: Read the references of these splits alone; ``None`` reads all.
        pipeline: Transforms; the last one packs. Those that move pixels must move boxes and words too,
            and must not push the object that is meant out of view (``keep_named: true``).
        max_bad_samples: So many unreadable images are skipped before the run stops; 0 for evaluation, where none may
            be missing.

    Raises:
        DataError: A missing or malformed file, no expression, a reference whose instance or image does not exist, a box
            that is not in its image, or a transform that would tear pixels, boxes and words apart or lose the object.
    """

    def __init__(
        self,
        refs_file: str,
        instances_file: str,
        img_dir: str,
        *,
        splits: Sequence[str] | None = None,
        pipeline: Sequence[Mapping[str, Any]] = (),
        max_bad_samples: int = 10,
    ) -> None:
        name = type(self).__name__
        refuse_blind_transforms(pipeline, name, "leave it out")
        refuse_lost_targets(pipeline, name)
        self.img_dir = image_folder(img_dir, f"{type(self).__name__}.img_dir")
        self.references = read_references(refs_file, f"{name}.refs_file", splits)
        self._boxes = read_instances(instances_file, f"{name}.instances_file")
        self._images = read_images(instances_file, f"{name}.instances_file")
        for reference in self.references:
            self._check(reference, f"{name}.refs_file: {refs_file}: sent_id {reference.sent_id}", instances_file)
        super().__init__(pipeline, size=len(self.references), max_bad_samples=max_bad_samples)
        self.boxed_indices = list(range(len(self.references)))

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline."""
        reference = self.references[int(index)]
        key = one_form(reference.image_id)
        boxes, identities = self._boxes[key]
        image = self._images[key]
        info = {
            "img_path": str(self.img_dir / image.file_name),
            "text": reference.text,
            "image_id": reference.image_id,
            "text_id": reference.sent_id,
            "gt_bboxes": boxes.copy(),
            "named": identities == one_form(reference.ann_id),
        }
        if image.size is not None:
            info["stated_size"] = image.size
        return info

    def _check(self, reference: Reference, location: str, instances_file: str) -> None:
        """Refuse a reference whose instance or box does not fit: it would train or count wrongly."""
        key = one_form(reference.image_id)
        image = self._images.get(key)
        if image is None:
            raise DataError(
                f"{location}: image_id {reference.image_id} is not among the images of {instances_file}. "
                "Give the instances that belong to the references."
            )
        boxes, identities = self._boxes.get(key, (np.zeros((0, 4), np.float32), np.zeros(0, np.int64)))
        target = boxes[identities == one_form(reference.ann_id)]
        if not len(target):
            raise DataError(
                f"{location}: ann_id {reference.ann_id} must be an instance (no crowd) of image {reference.image_id} "
                f"in {instances_file}, and it is none. Give the instances that belong to the references."
            )
        problem = box_problem(target[0], image)
        if problem:
            raise DataError(
                f"{location}: the box of ann_id {reference.ann_id} in {instances_file} {problem}, got corners "
                f"{target[0].tolist()}. Correct the box or remove the reference."
            )


def box_problem(box: np.ndarray, image: ImageEntry) -> str:
    """Return what is wrong with a box (4,) of corners in pixels, or nothing."""
    if box[2] <= box[0] or box[3] <= box[1]:
        return "must have an area"
    if image.size is None:
        return ""
    width, height = image.size
    inside = (box[:2] >= -_SLACK).all() and box[2] <= width + _SLACK and box[3] <= height + _SLACK
    return "" if inside else f"must lie in its image of {width} x {height} pixels (width x height)"
