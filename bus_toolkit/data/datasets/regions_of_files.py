"""The boxes and descriptions of captions, as they are in JSON files: held in memory by every process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.box_share import BoxShare
from bus_toolkit.data.annotations.coco_boxes import read_descriptions
from bus_toolkit.data.annotations.coco_captions import refuse_shared_ids
from bus_toolkit.data.annotations.joins import check_join, one_form
from bus_toolkit.data.annotations.named_boxes import NamedBoxes


@dataclass(frozen=True)
class RegionFiles:
    """Files of boxes and descriptions, by their settings of ``RegionCaptionDataset``."""

    instances: str | None
    regions: str | None
    descriptions: str | None
    class_template: str | None


class RegionsOfFiles:
    """Boxes and descriptions of a reader's captions.

    Args:
        reader: One of mmpretrain's, built.
        files: Those of boxes and descriptions.
        share: The images that keep their boxes.
        name: The data set, for messages.

    Attributes:
        reader: It gives the captions.
        boxed_rows: Rows for patch-text supervision.

    Raises:
        DataError: A missing or malformed file, or one of the two files of boxes alone.
    """

    def __init__(self, reader: Any, files: RegionFiles, share: BoxShare, name: str) -> None:
        self.reader = reader
        if type(reader).__name__ == "COCORetrieval":
            refuse_shared_ids(reader.ann_file, f"{name}.dataset.ann_file", captions=files.regions is not None)
        # Only the ids: the reader unpacks each of its samples again, and there may be millions.
        keys = [_keys(reader.get_data_info(row)) for row in range(len(reader))]
        images, texts = {image for image, _ in keys}, {text for _, text in keys}
        boxes = NamedBoxes.read(files.instances, files.regions, name, images=images, texts=texts)
        self._boxes = boxes.of_images(share)
        self._descriptions: dict[Any, dict[str, np.ndarray]] = {}
        if files.descriptions is not None:
            setting = f"{name}.descriptions_file"
            described = read_descriptions(files.descriptions, setting, files.class_template)
            check_join(described, images, location=f"{setting}: {files.descriptions}", kind="images")
            self._descriptions = {image: texts for image, texts in described.items() if image in share}
        # Rows for patch-text supervision show a description, if there are any: the caption's own boxes are not needed.
        self.boxed_rows = [
            row
            for row, (image, text) in enumerate(keys)
            if (self._boxes.has(image, text) if files.descriptions is None else image in self._descriptions)
        ]

    def attach(self, info: dict[str, Any]) -> None:
        """Give a sample its boxes, if it has some.

        Raises:
            BadSample: The caption names an instance that its image does not have.
        """
        if self._boxes.has(*_keys(info)):
            self._boxes.attach(info, *_keys(info))

    def descriptions(self, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the descriptions of a sample's image, each with its boxes."""
        return self._descriptions.get(_keys(info)[0], {})


def _keys(info: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the ids of image and caption in one form.

    ``COCORetrieval`` renumbers images and captions and keeps the ids of the file under other names.
    """
    return one_form(info.get("image_ori_id", info["image_id"])), one_form(info.get("ori_id", info["text_id"]))
