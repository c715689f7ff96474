"""Text decoders, for generation."""

from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_decoders.causal_base import CausalLanguageModel
from bus_toolkit.text_decoders.causal_lm import CausalLMFolder
from bus_toolkit.text_decoders.generate import Generated, Rereading, SearchRules, generate
from bus_toolkit.text_decoders.rank import Ranked, rank
from bus_toolkit.text_decoders.sample import sample
from bus_toolkit.text_decoders.small_causal_lm import CausalLM

__all__ = [
    "BertTextDecoder",
    "CausalLM",
    "CausalLMFolder",
    "CausalLanguageModel",
    "Generated",
    "Ranked",
    "Rereading",
    "SearchRules",
    "generate",
    "rank",
    "sample",
]
