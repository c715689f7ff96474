"""Pure tensor functions: token plans, keep-ratio schedules, boxes to patch labels, rows of all ranks, their noise."""

from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.bipartite import bipartite_halves, bipartite_merge_plan, similarity_of_halves
from bus_toolkit.ops.collective import (
    mean_over_ranks,
    own_rows,
    rank,
    world_size,
)
from bus_toolkit.ops.even_cells import even_cells
from bus_toolkit.ops.follow_plans import carry_weights, compose, patches_in_tokens, scatter_back
from bus_toolkit.ops.gathered_rows import gather_rows, gather_together
from bus_toolkit.ops.kept_patches import KeptPatches
from bus_toolkit.ops.make_plans import keep_marked, keep_plan, merge_plan, num_kept, share_of_mass, top_indices
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.ops.other_rows import other_rows
from bus_toolkit.ops.patch_grid import patch_centres, shares_of_box
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels, carry_to_candidates, patch_cover
from bus_toolkit.ops.position_table import AbsolutePositions, PositionTable, RelativePositions
from bus_toolkit.ops.precision import at_least_float32, at_least_float32_dtype
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.ops.row_noise import row_noise
from bus_toolkit.ops.schedule import KeepRatioSchedule
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.ops.token_plan import TokenPlan

__all__ = [
    "AbsolutePositions",
    "KeepRatioSchedule",
    "KeptPatches",
    "PositionTable",
    "RelativePositions",
    "TokenPlan",
    "apply_plan",
    "at_least_float32",
    "at_least_float32_dtype",
    "bipartite_halves",
    "bipartite_merge_plan",
    "boxes_to_patch_labels",
    "carry_to_candidates",
    "carry_weights",
    "compose",
    "even_cells",
    "gather_rows",
    "gather_together",
    "gather_tokens",
    "keep_marked",
    "keep_plan",
    "mean_over_ranks",
    "merge_plan",
    "num_kept",
    "other_rows",
    "own_rows",
    "patch_centres",
    "patch_cover",
    "patches_in_tokens",
    "rank",
    "repeat_rows",
    "row_noise",
    "scatter_back",
    "share_of_mass",
    "shares_of_box",
    "similarity_of_halves",
    "to_device",
    "top_indices",
    "world_size",
]
