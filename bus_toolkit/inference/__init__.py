"""Ask trained models about images of one's own."""

from bus_toolkit.inference.index import ImageIndex
from bus_toolkit.inference.inferencer import Inferencer

__all__ = [
    "ImageIndex",
    "Inferencer",
]
