"""Patch selectors: which patches of the image go on."""

from bus_toolkit.selectors.base import Fuse, PatchSelector, Site
from bus_toolkit.selectors.grid_pool import GridPoolSelector
from bus_toolkit.selectors.identity import IdentitySelector
from bus_toolkit.selectors.kept_indices import count_kept, kept_indices
from bus_toolkit.selectors.look_ahead import LookAheadSelector
from bus_toolkit.selectors.merging import MergingSelector
from bus_toolkit.selectors.objectness import ObjectnessSelector
from bus_toolkit.selectors.oracle_boxes import OracleBoxesSelector
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.selectors.text_guided_attention import TextGuidedAttentionSelector
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from bus_toolkit.selectors.uniform_grid import UniformGridSelector
from bus_toolkit.selectors.view import BlockAccess, BlockView
from bus_toolkit.selectors.widths import check_widths

__all__ = [
    "BlockAccess",
    "BlockView",
    "Fuse",
    "GridPoolSelector",
    "IdentitySelector",
    "LookAheadSelector",
    "MergingSelector",
    "ObjectnessSelector",
    "OracleBoxesSelector",
    "PatchSelector",
    "RandomSelector",
    "Site",
    "TextGuidedAttentionSelector",
    "TextSemanticPatchSelector",
    "UniformGridSelector",
    "check_widths",
    "count_kept",
    "kept_indices",
]
