"""The assembly of parts into a model, its momentum copies, and the order of passes in a step."""

from bus_toolkit.models.build import build_caption_lm, build_model, build_vlp_model
from bus_toolkit.models.caption_lm import CaptionLanguageModel
from bus_toolkit.models.causal.build import build_causal_vlm
from bus_toolkit.models.causal.vlm import CausalVLM
from bus_toolkit.models.conditioning import Conditioning, ConditioningMode, register_mode
from bus_toolkit.models.samples import make_samples
from bus_toolkit.models.vlp import VLPModel

__all__ = [
    "CaptionLanguageModel",
    "CausalVLM",
    "Conditioning",
    "ConditioningMode",
    "VLPModel",
    "build_caption_lm",
    "build_causal_vlm",
    "build_model",
    "build_vlp_model",
    "make_samples",
    "register_mode",
]
