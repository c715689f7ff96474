"""The boxes of images, and which of them each text names: COCO instances with a file of regions."""

from __future__ import annotations

from collections.abc import Collection, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bus_toolkit.data.annotations.coco_boxes import Instances, read_coco_instances, read_regions
from bus_toolkit.data.annotations.joins import check_join, one_form
from bus_toolkit.errors import DataError


@dataclass(frozen=True)
class NamedBoxes:
    """Boxes for the texts of a data set; ids are compared in one form (``joins.one_form``).

    Attributes:
        instances: The objects of each image.
        regions: Text id to the ids of the instances that it names; a text without an entry has no boxes.
    """

    instances: Instances
    regions: Mapping[Any, Sequence[int]]

    @classmethod
    def read(
        cls,
        instances_file: str | None,
        regions_file: str | None,
        name: str,
        *,
        images: Collection[Hashable] = (),
        texts: Collection[Hashable] = (),
    ) -> NamedBoxes:
        """Read both files, or none.

        Args:
            instances_file: COCO instances.
            regions_file: JSON, text id to the ids of the instances that it names.
            name: The data set, for messages.
            images: Ids of the data set's images in one form, which those of the instances are compared with.
            texts: The same of its texts and the regions.

        Raises:
            DataError: Only one of the two files is given, one is missing or malformed, or its ids are none of the data
                set's.
        """
        refuse_one_alone(instances_file, regions_file, name)
        if instances_file is None or regions_file is None:
            return cls(Instances({}, {}, frozenset()), {})
        instances = read_coco_instances(instances_file, f"{name}.instances_file")
        regions = read_regions(regions_file, f"{name}.regions_file")
        check_join(instances.boxes, images, location=f"{name}.instances_file: {instances_file}", kind="images")
        check_join(regions, texts, location=f"{name}.regions_file: {regions_file}", kind="texts")
        return cls(instances, regions)

    def of_images(self, images: Container[Any]) -> NamedBoxes:
        """Return the boxes of these images alone."""
        boxes = {image: value for image, value in self.instances.boxes.items() if image in images}
        return replace(self, instances=replace(self.instances, boxes=boxes))

    def has(self, image_id: Any, text_id: Any) -> bool:
        """Return whether a text has boxes of its image."""
        return one_form(image_id) in self.instances.boxes and one_form(text_id) in self.regions

    def attach(self, sample: dict[str, Any], image_id: Any, text_id: Any) -> None:
        """Give a sample its boxes, which of them its text names, and the stated size of its image.

        Raises:
            BadSample: The text names an instance that the image does not have.
        """
        self.instances.attach(sample, one_form(image_id), self.regions[one_form(text_id)])


def refuse_one_alone(instances_file: str | None, regions_file: str | None, name: str) -> None:
    """Refuse boxes without a file that says which text names them, and the other way round.

    Raises:
        DataError: Only one of the two files is given.
    """
    if (instances_file is None) != (regions_file is None):
        raise DataError(f"{name}: instances_file and regions_file belong together, got only one. Give both or none.")
