"""The boxes of images, and which of them each text names: COCO instances with a file of regions."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bus_toolkit.data.annotations.coco_boxes import Instances, read_coco_instances, read_regions
from bus_toolkit.errors import DataError


@dataclass(frozen=True)
class NamedBoxes:
    """Boxes for the texts of a data set.

    Attributes:
        instances: The objects of each image.
        regions: Text id to the ids of the instances that it names; a text without an entry has no boxes.
    """

    instances: Instances
    regions: Mapping[int, Sequence[int]]

    @classmethod
    def read(cls, instances_file: str | None, regions_file: str | None, name: str) -> NamedBoxes:
        """Read both files, or none.

        Args:
            instances_file: COCO instances.
            regions_file: JSON, text id to the ids of the instances that it names.
            name: The data set, for messages.

        Raises:
            DataError: Only one of the two files is given, or one is missing or malformed.
        """
        if (instances_file is None) != (regions_file is None):
            raise DataError(
                f"{name}: instances_file and regions_file belong together, got only one. Give both or none."
            )
        if instances_file is None or regions_file is None:
            return cls(Instances({}, {}, frozenset()), {})
        return cls(
            read_coco_instances(instances_file, f"{name}.instances_file"),
            read_regions(regions_file, f"{name}.regions_file"),
        )

    def of_images(self, images: Container[int]) -> NamedBoxes:
        """Return the boxes of these images alone."""
        boxes = {image: value for image, value in self.instances.boxes.items() if image in images}
        return replace(self, instances=replace(self.instances, boxes=boxes))

    def has(self, image_id: Any, text_id: Any) -> bool:
        """Return whether a text has boxes of its image."""
        # Ids of other formats may be words: only where the image has boxes is a text's id a number for sure.
        return image_id in self.instances.boxes and int(text_id) in self.regions

    def attach(self, sample: dict[str, Any], image_id: Any, text_id: Any) -> None:
        """Give a sample its boxes, which of them its text names, and the stated size of its image.

        Raises:
            BadSample: The text names an instance that the image does not have.
        """
        self.instances.attach(sample, image_id, self.regions[int(text_id)])
