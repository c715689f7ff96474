"""Captions with boxes: a reader of mmpretrain gives the captions, COCO instances give the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.box_share import BoxShare
from bus_toolkit.data.annotations.coco_boxes import read_descriptions
from bus_toolkit.data.annotations.coco_captions import refuse_shared_ids, unreadable_because
from bus_toolkit.data.annotations.joins import check_join, one_form
from bus_toolkit.data.annotations.named_boxes import NamedBoxes
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.transforms.blind import refuse_blind_transforms
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class RegionCaptionDataset(SampleDataset):
    """Captions of a reader with the boxes of their images, and which of the boxes each caption names.

    Before the pipeline a sample has the reader's keys (``img_path``, ``text``, ``image_id``, ``text_id``) and, where
    the image has boxes, ``gt_bboxes`` float32 (n, 4), corners in pixels, and ``named`` bool (n,). Slot: ``dataset`` of
    a data loader.

    Args:
        dataset: Config of the reader, e.g. ``mmpretrain.COCORetrieval``; one row a caption.
        pipeline: Transforms; the last one packs. Those that move pixels must move boxes and words too.
        instances_file: COCO instances (``bbox`` as x, y, width, height); ``None`` for no boxes.
        regions_file: JSON, caption id to the ids of the instances it names; captions without an entry have no boxes.
        descriptions_file: Visual Genome's ``region_descriptions.json``, or COCO instances, whose classes are then named
            in a sentence. A row that a ``RegionBatchSampler`` draws for patch-text supervision shows one of its image's
            descriptions, drawn at random each time, instead of its caption, and ``named`` are that description's boxes.
            COPA (arXiv 2308.03475) trains on such texts.
        class_template: That sentence, with ``{name}`` for the class; ``None`` is "This is a {name}."
        box_fraction: Share of the images that keep their boxes, in [0, 1]; which ones follows from image id and
            ``box_seed``.
        box_seed: Seed of that choice.
        max_bad_samples: So many unreadable samples are skipped before the run stops; 0 for evaluation, where none may
            be missing.

    Raises:
        DataError: A missing or malformed file, one of the two files alone, a share outside [0, 1], an empty data set,
            or a transform that would tear pixels, boxes and words apart.
    """

    def __init__(
        self,
        dataset: Mapping[str, Any],
        pipeline: Sequence[Mapping[str, Any]] = (),
        *,
        instances_file: str | None = None,
        regions_file: str | None = None,
        descriptions_file: str | None = None,
        class_template: str | None = None,
        box_fraction: float = 1.0,
        box_seed: int = 0,
        max_bad_samples: int = 10,
    ) -> None:
        name = type(self).__name__
        _check_arguments(name, descriptions_file, class_template)
        if instances_file is not None or descriptions_file is not None:
            refuse_blind_transforms(pipeline, name, "leave out instances_file and regions_file")
        self.reader = _build_reader(dataset, name)
        if str(dataset["type"]).endswith("COCORetrieval"):
            refuse_shared_ids(self.reader.ann_file, f"{name}.dataset.ann_file", captions=regions_file is not None)
        super().__init__(pipeline, size=len(self.reader), max_bad_samples=max_bad_samples)
        share = BoxShare(box_fraction, box_seed, name)
        # Only the ids: the reader unpacks each of its samples again, and there may be millions.
        keys = [_keys(self.reader.get_data_info(row)) for row in range(len(self.reader))]
        images, texts = {image for image, _ in keys}, {text for _, text in keys}
        boxes = NamedBoxes.read(instances_file, regions_file, name, images=images, texts=texts)
        self._boxes = boxes.of_images(share)
        self._descriptions: dict[Any, dict[str, np.ndarray]] = {}
        if descriptions_file is not None:
            setting = f"{name}.descriptions_file"
            described = read_descriptions(descriptions_file, setting, class_template)
            check_join(described, images, location=f"{setting}: {descriptions_file}", kind="images")
            self._descriptions = {image: texts for image, texts in described.items() if image in share}
        # Rows for patch-text supervision show a description, if there are any: the caption's own boxes are not needed.
        self.boxed_indices = [
            row
            for row, (image, text) in enumerate(keys)
            if (image in self._descriptions if descriptions_file is not None else self._boxes.has(image, text))
        ]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline.

        Raises:
            BadSample: The caption names an instance that its image does not have.
        """
        info = dict(self.reader.get_data_info(int(index)))
        if self._boxes.has(*_keys(info)):
            self._boxes.attach(info, *_keys(info))
        return info

    def get_region_info(self, index: int) -> dict[str, Any]:
        """Return the sample of a row that serves patch-text supervision alone: with a description, if there are any."""
        info = self.get_data_info(index)
        descriptions = self._descriptions.get(_keys(info)[0])
        if descriptions is None:
            return info
        # From NumPy's global generator, as in the transforms: a training seeds it for each sample.
        text = list(descriptions)[np.random.randint(len(descriptions))]
        # Boxes of the image that this description does not name are its negatives.
        others = info.get("gt_bboxes", np.concatenate(list(descriptions.values())))
        info["text"] = text
        info["gt_bboxes"] = np.concatenate([descriptions[text], others])
        info["named"] = np.arange(len(info["gt_bboxes"])) < len(descriptions[text])
        return info


def _check_arguments(name: str, descriptions_file: str | None, class_template: str | None) -> None:
    if class_template is not None and descriptions_file is None:
        raise DataError(
            f"{name}.class_template: has an effect only with COCO instances as descriptions_file, got "
            f"{class_template!r} and no file. Give the file, or leave class_template out."
        )


def _build_reader(dataset: Mapping[str, Any], name: str) -> Any:
    import mmpretrain.datasets  # noqa: F401  # registers the readers

    try:
        return DATASETS.build(dict(dataset))
    except OSError as error:
        raise DataError(
            f"{name}.dataset: cannot read {error.filename or error}: {error.strerror or 'missing'}. "
            "Set data_root and ann_file to the paths of the data."
        ) from error
    except (ValueError, KeyError) as error:
        path = Path(str(dataset.get("data_root") or "")) / str(dataset.get("ann_file") or "")
        if reason := unreadable_because(expand_home(path)):
            raise DataError(f"{name}.dataset.ann_file: {path}: {reason}") from error
        raise DataError(
            f"{name}.dataset: the annotation file is not of the kind that {dataset['type']} reads, or has no captions "
            f"({type(error).__name__}: {error}). Check ann_file."
        ) from error


def _keys(info: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the ids of image and caption in one form.

    ``COCORetrieval`` renumbers images and captions and keeps the ids of the file under other names.
    """
    return one_form(info.get("image_ori_id", info["image_id"])), one_form(info.get("ori_id", info["text_id"]))
