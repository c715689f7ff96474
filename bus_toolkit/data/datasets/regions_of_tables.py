"""The boxes and descriptions of captions, as tables: mapped into memory, one copy for all processes of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.box_share import BoxShare
from bus_toolkit.data.annotations.named_boxes import refuse_one_alone
from bus_toolkit.data.datasets.regions_of_files import RegionFiles
from bus_toolkit.data.tables.boxes import BoxTable
from bus_toolkit.data.tables.captions import CaptionTable
from bus_toolkit.data.tables.descriptions import DescriptionTable
from bus_toolkit.home import expand_home


class RegionsOfTables:
    """What ``RegionsOfFiles`` is for a reader, for a table of captions.

    Args:
        reader: The captions.
        files: Those of boxes and descriptions.
        share: The images that keep their boxes.
        table_dir: Folder of tables.
        name: The data set, for messages.

    Raises:
        DataError: As ``RegionsOfFiles``, or ids that are no whole numbers.
    """

    def __init__(self, reader: CaptionTable, files: RegionFiles, share: BoxShare, table_dir: str, name: str) -> None:
        self.reader, self._share = reader, share
        self._boxes: BoxTable | None = None
        self._descriptions: DescriptionTable | None = None
        refuse_one_alone(files.instances, files.regions, name)
        if files.instances is not None and files.regions is not None:
            of = (expand_home(files.instances), expand_home(files.regions))
            self._boxes = BoxTable(reader, *of, table_dir, name)
        if files.descriptions is not None:
            file = expand_home(files.descriptions)
            self._descriptions = DescriptionTable(reader, file, files.class_template, table_dir, name)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled for a worker, which asks for no rows."""
        return {name: value for name, value in self.__dict__.items() if name != "boxed_rows"}

    @cached_property
    def boxed_rows(self) -> np.ndarray:
        """Rows for patch-text supervision; int64, mapped where all images keep their boxes."""
        table = self._descriptions or self._boxes
        rows = np.zeros(0, np.int64) if table is None else table.boxed
        if self._share.fraction == 1.0:
            return rows
        images = self.reader.images[rows]
        shared = np.unique(images)
        kept = shared[[self._shares(image) for image in shared.tolist()]] if len(shared) else shared
        return rows[np.isin(images, kept)]

    def attach(self, info: dict[str, Any]) -> None:
        """Give a sample its boxes, if it has some.

        Raises:
            BadSample: The caption names an instance that its image does not have.
        """
        row, image = info["text_id"], info["image_id"]
        if self._boxes is not None and self._boxes.has(row, image) and self._shares(image):
            self._boxes.attach(info, row, image)

    def descriptions(self, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the descriptions of a sample's image, each with its boxes."""
        image = info["image_id"]
        return {} if self._descriptions is None or not self._shares(image) else self._descriptions.of(image)

    def _shares(self, image: int) -> bool:
        """Return whether an image, by its row, keeps its boxes."""
        return self._share.fraction == 1.0 or int(self.reader.image_ids[image]) in self._share
