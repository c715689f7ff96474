"""What a text decoder keeps of texts under way, so that each pass reads one token of them instead of all."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.models.bert import modeling_bert

_TAKEN = inspect.signature(modeling_bert.BertSelfAttention.forward).parameters
ARGUMENT: str | None = next((name for name in ("cache", "past_key_values") if name in _TAKEN), None)
"""The argument by which the BERT of the installed transformers takes such a cache; ``None`` in 4.53 to 4.55, where it
takes tuples only."""


class TextCache:
    """Keys and values of all layers of a text decoder, of R texts and of the states that each of them reads.

    A new one holds nothing. A decoder that is called with it reads the tokens that it does not hold, and adds them.
    """

    def __init__(self) -> None:
        self.states: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())

    @property
    def length(self) -> int:
        """How many tokens of each text it holds."""
        return int(self.states.get_seq_length())

    def repeat_each(self, times: int) -> None:
        """Hold every text, with its states, ``times`` times in a row."""
        self.states.batch_repeat_interleave(times)

    def follow(self, rows: Tensor, *, states_too: bool) -> None:
        """Hold the texts at ``rows`` (R,) in the place of those that it holds.

        Args:
            rows: Numbers of texts; repeats are allowed.
            states_too: Whether the states that they read move with them; where texts of the same states change places
                alone, these need not.
        """
        self.states.self_attention_cache.reorder_cache(rows)
        if states_too:
            self.states.cross_attention_cache.reorder_cache(rows)
