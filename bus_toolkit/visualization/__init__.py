"""Pictures of the patches that a model kept and of its training."""

from bus_toolkit.visualization.curves import draw_curves
from bus_toolkit.visualization.kept_patches import PatchPicture, draw_kept_patches
from bus_toolkit.visualization.side_by_side import draw_side_by_side

__all__ = [
    "PatchPicture",
    "draw_curves",
    "draw_kept_patches",
    "draw_side_by_side",
]
