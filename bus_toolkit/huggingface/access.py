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
from bus_toolkit.huggingface.recorded_attention import RecordedAttention
from bus_toolkit.selectors.view import BlockAccess

# Queries whose attention is looked at together.
_CHUNK = 128


@dataclass(frozen=True)
class SequencePlaces:
    """Where units are in the sequence that a layer read.

    Attributes:
        rows: int64 (U,), the row of the batch of each unit.
        candidates: int64 (U, N).
        words: int64 (U, L), the places of the text; padding repeats a place.
        words_mask: bool (U, L), False for padding.
        last_word: int64 (U,), the last of them.
        asking: int64 (U,), the token that sees for the whole image (the class token); ``None`` where there is none.
    """

    rows: Tensor
    candidates: Tensor
    words: Tensor | None = None
    words_mask: Tensor | None = None
    last_word: Tensor | None = None
    asking: Tensor | None = None


class LayerAccess(BlockAccess):
    """Queries and keys that a layer has just used (``selectors.BlockAccess``).

    A language model has no class token: the mean of all tokens' attention replaces it, as in a ViT without one (our
    choice). What needs the layer's own weights is not there; it raises ``ComponentError``.

    Args:
        attention: Returns what the layer's attention used; called when something of it is asked for.
        places: Where the units are.
    """

    def __init__(self, attention: Callable[[], RecordedAttention], places: SequencePlaces) -> None:
        self._attention, self._places = attention, places

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
    def cls_attention(self) -> Tensor:
        if self._places.asking is None:
            return self.attention_received()
        return self._rows(self._places.asking.unsqueeze(1)).squeeze(1)

    @override
    def cls_query(self) -> Tensor:
        queries, rows = self._attention().queries, self._places.rows
        if self._places.asking is None:
            return queries.mean(dim=2)[rows]
        # Advanced indices apart from each other put their axis first: (U, H, E).
        return queries[rows, :, self._places.asking]

    @override
    def keys(self) -> Tensor:
        used = self._attention()
        keys = used.keys.repeat_interleave(used.queries.shape[1] // used.keys.shape[1], dim=1)
        return keys[self._places.rows[:, None], :, self._places.candidates]  # (U, N, H, E)

    @override
    @torch.no_grad()
    def attention_received(self) -> Tensor:
        used = self._attention()
        batch, _, count, _ = used.queries.shape
        total = used.queries.new_zeros(batch, count)
        everyone = torch.arange(count, device=total.device).expand(batch, count)
        for start in range(0, count, _CHUNK):
            total += _attention_rows(used, everyone[:, start : start + _CHUNK]).sum(dim=1)
        rows = self._places.rows[:, None]
        return total[rows, self._places.candidates] / count

    @override
    def word_attention(self) -> Tensor:
        mask = self._places.words_mask
        attention = self.attention_of_words().detach()
        assert mask is not None
        return (attention * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)

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

    def _rows(self, asking: Tensor) -> Tensor:
        """Return the attention (U, Q, N) of tokens (U, Q) to the candidates, averaged over the heads."""
        used, rows = self._attention(), self._places.rows
        attention = _attention_rows(used, asking, rows)  # (U, Q, n)
        return attention.gather(2, self._places.candidates.unsqueeze(1).expand(-1, asking.shape[1], -1))

    def _refuse(self, method: str, reason: str) -> NoReturn:
        raise ComponentError(
            f"reduce_tokens: a selector asks for {method} of a layer of transformers: {reason}. Use a selector that reads "
            "text_attention, attention_of_words, cls_attention or keys, or none of them."
        )


def _attention_rows(used: RecordedAttention, asking: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return rows (U, Q, n) of attention, averaged over the heads, for tokens ``asking`` (U, Q) of the batch's ``rows``."""
    rows = torch.arange(asking.shape[0], device=asking.device) if rows is None else rows
    queries = used.queries.transpose(1, 2)[rows[:, None], asking].transpose(1, 2)  # (U, H, Q, E)
    keys = used.keys[rows]  # (U, Hk, n, E)
    grouped = queries.unflatten(1, (keys.shape[1], -1))  # (U, Hk, H / Hk, Q, E)
    logits = (grouped @ keys.unsqueeze(2).transpose(-1, -2)).flatten(1, 2) * used.scale  # (U, H, Q, n)
    mask, hidden = used.mask, torch.finfo(logits.dtype).min
    if mask is not None and mask.dim() == 4:
        full = mask.expand(used.queries.shape[0], -1, -1, -1).transpose(1, 2)  # (B, Q, heads, n)
        picked = full[rows[:, None], asking].transpose(1, 2)
        logits = logits.masked_fill(~picked, hidden) if picked.dtype == torch.bool else logits + picked
    else:
        if mask is not None:
            logits = logits.masked_fill(~mask[rows].bool()[:, None, None], hidden)
        if used.causal:
            later = torch.arange(keys.shape[2], device=asking.device) > asking.unsqueeze(2)  # (U, Q, n)
            logits = logits.masked_fill(later.unsqueeze(1), hidden)
    return logits.softmax(dim=-1, dtype=torch.float32 if logits.dtype != torch.float64 else None).mean(dim=1)
