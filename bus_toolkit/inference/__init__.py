"""Ask trained models about images of one's own."""

from bus_toolkit.inference.index import ImageIndex
from bus_toolkit.inference.inferencer import Inferencer
from bus_toolkit.inference.pictures import draw_kept
from bus_toolkit.inference.preprocessor import ImagePreprocessor
from bus_toolkit.inference.several import explain_models

__all__ = [
    "ImageIndex",
    "ImagePreprocessor",
    "Inferencer",
    "draw_kept",
    "explain_models",
]
