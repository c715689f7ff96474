"""The inside of a layer of transformers, for selectors that ask for it.

Shapes: U units, N candidates, L words, B batch, H heads, n tokens of the sequence, E width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.attention_rows import attention_rows
from bus_toolkit.huggingface.recorded_attention import RecordedAttention
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.selectors.view import BlockAccess

# Queries whose attention is looked at together.
_CHUNK = 128
_OF_TEXT = ("text_attention", "attention_of_words", "word_attention", "entered")
_OF_IMAGE = ("cls_attention", "cls_query", "keys", "attention_received")


@dataclass(frozen=True)
class SequencePlaces:
    """Where units are in the sequence that a layer read.

    Attributes:
        rows: int64 (U,), the row of the batch of each unit.
        candidates: int64 (U, N).
        words: int64 (U, L), the places of the text; padding repeats a place.
        words_mask: bool (U, L), False for padding.
        last_word: int64 (U,), the last of them.
        class_token: The token that sees for the whole image; ``None`` where there is none.
        asking: bool (B, n), tokens that count where the mean of all of them is asked for: no padding, and nothing of an
            answer that is trained; ``None``: all.
    """

    rows: Tensor
    candidates: Tensor
    words: Tensor | None = None
    words_mask: Tensor | None = None
    last_word: Tensor | None = None
    class_token: int | None = None
    asking: Tensor | None = None


class LayerAccess(BlockAccess):
    """Queries and keys that a layer has just used (``selectors.BlockAccess``).

    A language model has no class token: the mean of all tokens' attention replaces it, as in a ViT without one (our
    choice). What needs the layer's own weights is not there; it raises ``ComponentError``.

    Args:
        attention: Returns what the layer's attention used; called when something of it is asked for.
        places: Where the units are.
        entered: Returns candidates (U, N, D) and words (U, L, D) as they entered the first layer; called where there
            are words.
    """

    def __init__(
        self,
        attention: Callable[[], RecordedAttention],
        places: SequencePlaces,
        entered: Callable[[], tuple[Tensor, Tensor]],
    ) -> None:
        self._attention, self._places, self._entered = attention, places, entered

    @override
    def text_attention(self) -> Tensor:
        if self._places.last_word is None:
            self._refuse("text_attention", "there is no text here")
        return self._rows(self._places.last_word.unsqueeze(1)).squeeze(1)

    @override
    def attention_of_words(self) -> Tensor:
        if self._places.words is None:
            self._refuse("attention_of_words", "there is no text here")
        return self._rows(self._places.words)

    @override
    def entered(self) -> tuple[Tensor, Tensor]:
        if self._places.words is None:
            self._refuse("entered", "there is no text here")
        return self._entered()

    @override
    @torch.no_grad()
    def word_attention(self) -> Tensor:
        attention, mask = self.attention_of_words(), self._places.words_mask
        assert mask is not None, "words come with their mask"
        return (attention * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    @override
    def cls_attention(self) -> Tensor:
        token, rows = self._places.class_token, self._places.rows
        if token is None:
            return self.attention_received()
        return self._rows(torch.full_like(rows, token).unsqueeze(1)).squeeze(1)

    @override
    def cls_query(self) -> Tensor:
        queries = self._attention().queries
        if self._places.class_token is not None:
            return queries[self._places.rows, :, self._places.class_token]
        asking = self._asking(queries).to(queries.dtype)
        mean = torch.einsum("bhne,bn->bhe", queries, asking) / asking.sum(dim=1)[:, None, None]
        return mean[self._places.rows]

    @override
    def keys(self) -> Tensor:
        used, rows = self._attention(), self._places.rows
        # Advanced indices apart from each other put their axes first: (U, N, Hk, E).
        keys = used.keys[rows.unsqueeze(1), :, self._places.candidates]
        return keys.repeat_interleave(used.queries.shape[1] // used.keys.shape[1], dim=2)

    @override
    @torch.no_grad()
    def attention_received(self) -> Tensor:
        used, rows = self._attention(), self._places.rows
        batch, _, count, _ = used.queries.shape
        everyone = torch.arange(count, device=rows.device).expand(batch, count)
        all_rows = torch.arange(batch, device=rows.device)
        asking = self._asking(used.queries).to(at_least_float32_dtype(used.queries))
        total = torch.zeros_like(asking)
        for start in range(0, count, _CHUNK):
            given = attention_rows(used, all_rows, everyone[:, start : start + _CHUNK])
            total += (given * asking[:, start : start + _CHUNK, None]).sum(dim=1)
        mean = total / asking.sum(dim=1, keepdim=True)
        return mean[rows.unsqueeze(1), self._places.candidates]

    @override
    def project_query(self, vectors: Tensor) -> Tensor:
        self._refuse("project_query", "its weights are the model's own")

    @override
    def normed(self) -> Tensor:
        self._refuse("normed", "its norm is the model's own")

    @override
    def read(self, vectors: Tensor) -> Tensor:
        self._refuse("read", "extra tokens cannot be put in")

    @override
    def look_ahead(self, prefix: Tensor, num_blocks: int) -> Tensor:
        self._refuse("look_ahead", "its layers run in their own order")

    def _asking(self, queries: Tensor) -> Tensor:
        """Return which tokens count, bool (B, n)."""
        if self._places.asking is not None:
            return self._places.asking
        return torch.ones(queries.shape[0], queries.shape[2], dtype=torch.bool, device=queries.device)

    def _rows(self, asking: Tensor) -> Tensor:
        """Return the attention (U, Q, N) of tokens (U, Q) to the candidates, the mean of the heads."""
        attention = attention_rows(self._attention(), self._places.rows, asking)  # (U, Q, n)
        return attention.gather(2, self._places.candidates.unsqueeze(1).expand(-1, asking.shape[1], -1))

    def _refuse(self, method: str, reason: str) -> NoReturn:
        offered = _OF_IMAGE if self._places.words is None else (*_OF_IMAGE, *_OF_TEXT)
        raise ComponentError(
            f"reduce_tokens: a selector asks for {method} of a layer of transformers: {reason}. Use one that reads "
            f"what is there alone: {', '.join(offered)}, or none of them."
        )
