"""A trained model's image side as one file, for machines without this toolkit."""

from bus_toolkit.export.image_export import Measuring, check_target, export_image_side

__all__ = [
    "Measuring",
    "check_target",
    "export_image_side",
]
