"""Token reduction inside vision-language models of transformers that have a causal language model."""

from bus_toolkit.huggingface.families import FAMILIES, Family, family_of
from bus_toolkit.huggingface.language_model import Turns
from bus_toolkit.huggingface.reduction import Reduction, reduce_tokens
from bus_toolkit.huggingface.visual_places import Quota

__all__ = ["FAMILIES", "Family", "Quota", "Reduction", "Turns", "family_of", "reduce_tokens"]
