"""VLP heads: one objective each, with its loss and its predictions."""

from bus_toolkit.heads.base import Boxes, Masked, NestedPart, Step, VLPHead, noise, other_rows
from bus_toolkit.heads.caption import CaptionHead
from bus_toolkit.heads.classification import ClassificationHead
from bus_toolkit.heads.grounding import GroundingHead
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.heads.prefix_lm import PrefixLMHead
from bus_toolkit.heads.prior_lm import PriorLMHead
from bus_toolkit.heads.vqa import VQAHead

__all__ = [
    "Boxes",
    "CaptionHead",
    "ClassificationHead",
    "GroundingHead",
    "ITCHead",
    "ITMHead",
    "MLMHead",
    "Masked",
    "NestedPart",
    "PatchTextHead",
    "PrefixLMHead",
    "PriorLMHead",
    "Step",
    "VLPHead",
    "VQAHead",
    "noise",
    "other_rows",
]
