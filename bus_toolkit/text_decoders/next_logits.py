"""The logits of the next token of texts that grow by one token a pass: from a cache, or by reading all of them again.

Dims: B rows of states, K texts a row, R = B * K texts, t tokens so far, M states, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.cache import TextCache

Decode = Callable[..., Tensor]
"""Tokens (B, t), states (B, M, D) and which of them may be read, bool (B, M), to next-token logits (B, t, V). With a
``cache`` as well, the logits of the tokens after those that it holds."""
NewCache = Callable[[], TextCache | None]
"""Gives an empty cache for ``Decode``, or ``None`` where the text decoder has none."""


class NextLogits:
    """Next-token logits of K texts for each row of states.

    With a cache, keys and values of the states are computed once a row, those of a text once a token.

    Args:
        decode: A text decoder.
        memory: States to read, (B, M, D).
        memory_mask: bool (B, M), True = may be read.
        count: K.
        new_cache: Gives the decoder's caches; ``None`` reads all tokens in each pass.
    """

    def __init__(
        self, decode: Decode, memory: Tensor, memory_mask: Tensor, count: int, new_cache: NewCache | None = None
    ) -> None:
        self._decode, self._new_cache, self._count = decode, new_cache, count
        self._own_states = False
        self._cache = None if new_cache is None else new_cache()
        # Texts of one row are next to each other: (B, M, D) -> (B * K, M, D).
        self._memory, self._mask = (part.repeat_interleave(count, dim=0) for part in (memory, memory_mask))

    def __call__(self, tokens: TokenBatch) -> Tensor:
        """Return the logits (R, V) of the token after each text (R, t), one token longer than at the last call."""
        if self._cache is None:
            return self._decode(tokens, self._memory, self._mask)[:, -1]
        if self._cache.length or self._own_states or self._count == 1:
            return self._decode(tokens, self._memory, self._mask, cache=self._cache)[:, -1]
        # In the beginning the K texts of a row are one.
        first = slice(None, None, self._count)
        begun = TokenBatch(tokens.input_ids[first], tokens.attention_mask[first])
        logits_BV = self._decode(begun, self._memory[first], self._mask[first], cache=self._cache)[:, -1]
        self._cache.repeat_each(self._count)
        return logits_BV.repeat_interleave(self._count, dim=0)

    def follow(self, rows: Tensor) -> None:
        """Go on with the texts at ``rows`` (R,), each from the same row of states, or with its own ones."""
        if self._own_states:
            self._memory, self._mask = self._memory[rows], self._mask[rows]
        if self._cache is not None:
            self._cache.follow(rows, states_too=self._own_states)

    def reread(self, memory: Tensor, memory_mask: Tensor) -> None:
        """Read other states from here on, (R, M, D): a row for each text; the texts are read again with them."""
        self._memory, self._mask, self._own_states = memory, memory_mask, True
        self._cache = None if self._new_cache is None else self._new_cache()
