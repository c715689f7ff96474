"""Pictures of the patches that a model kept and of its training."""

from bus_toolkit.visualization.curves import draw_curves
from bus_toolkit.visualization.kept_patches import PatchPicture, draw_kept_patches

__all__ = [
    "PatchPicture",
    "draw_curves",
    "draw_kept_patches",
]
