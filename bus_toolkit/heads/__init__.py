"""VLP heads: one objective each, with its loss and its predictions."""

from bus_toolkit.heads.base import Copied, Feed, HeadOutput, NestedPart, VLPHead, find_head
from bus_toolkit.heads.caption import CaptionHead
from bus_toolkit.heads.classification import ClassificationHead
from bus_toolkit.heads.grounding import GroundingHead
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.heads.prefix_lm import PrefixLMHead
from bus_toolkit.heads.prior_lm import PriorLMHead
from bus_toolkit.heads.self_critical import SelfCriticalCaptionHead
from bus_toolkit.heads.vqa import VQAHead
from bus_toolkit.step.step import Step

__all__ = [
    "CaptionHead",
    "ClassificationHead",
    "Copied",
    "Feed",
    "GroundingHead",
    "HeadOutput",
    "ITCHead",
    "ITMHead",
    "MLMHead",
    "NestedPart",
    "PatchTextHead",
    "PrefixLMHead",
    "PriorLMHead",
    "SelfCriticalCaptionHead",
    "Step",
    "VLPHead",
    "VQAHead",
    "find_head",
]
