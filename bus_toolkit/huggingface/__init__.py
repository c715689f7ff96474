"""Token reduction inside vision-language models of transformers that have a causal language model."""

from bus_toolkit.huggingface.families import FAMILIES, Family, family_of
from bus_toolkit.huggingface.llava_layout import load_from_llava, to_llava
from bus_toolkit.huggingface.reduction import Reduction, reduce_tokens
from bus_toolkit.huggingface.turns import Turns
from bus_toolkit.huggingface.visual_places import Quota

__all__ = [
    "FAMILIES",
    "Family",
    "Quota",
    "Reduction",
    "Turns",
    "family_of",
    "load_from_llava",
    "reduce_tokens",
    "to_llava",
]
