"""The inside of a block, for selectors that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.block_passes import (
    attention_half,
    in_block,
    queries_and_keys,
    queries_keys_values,
    read_block,
)
from bus_toolkit.backbones.first_token import first_row, share_in_summary
from bus_toolkit.backbones.key_bias import key_bias, log_weights
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.selectors.view import BlockAccess
from bus_toolkit.selectors.widths import WIDTH_ADVICE
from bus_toolkit.structures import TextTokens

# Queries whose attention is looked at together: what ``attention_received`` holds at once is this times N, a head.
_CHUNK = 128


class ViTBlockAccess(BlockAccess):
    """Queries, keys and look-ahead of one block of a transformer (``selectors.view.BlockAccess``).

    Without a class token, the mean over all tokens is used in its place. If the inside of the block is not accessible,
    the tokens themselves are used as queries and keys (our choice, both): ``cls_attention`` then ranks by the share
    that a token has in the mean, and the other methods raise ``ComponentError``.

    Args:
        adapter: What knows the inside of the blocks.
        block: Number of this block, from 1.
        positions: The places of the patch tokens.
        tokens: The tokens (B, P + N, D) at the selector's site.
        block_input: What the block's attention reads or has read, (B, P + N, D).
        key_weights: Weight of each candidate as a key, (B, N), or ``None``.
        used: Queries, keys and values (B, H, P + N, E) that the block's attention has just used, where it has.
        words: bool (B, L), which of the last L prefix tokens are words and no padding, in a sequence that holds a text.
        text: The encoded text of each image, where there is one.

    Attributes:
        num_image_prefix: Prefix tokens of the image, which come before the words.
    """

    def __init__(
        self,
        adapter: TransformerAdapter,
        block: int,
        *,
        positions: TokenPositions,
        tokens: Tensor,
        block_input: Tensor,
        key_weights: Tensor | None,
        used: States | None,
        words: Tensor | None = None,
        text: TextTokens | None = None,
    ) -> None:
        self._text = text
        self._adapter, self._block, self._positions = adapter, block, positions
        self._num_prefix = adapter.num_prefix
        self._tokens, self._block_input, self._key_weights = tokens, block_input, key_weights
        self._used, self._words = used, words
        self.num_image_prefix = adapter.num_prefix - (0 if words is None else words.shape[1])
        self._first: tuple[Tensor, Tensor] | None = None

    @property
    def _layer(self) -> Any:
        return self._adapter.layers[self._block - 1]

    def _in_block(self, work: Callable[..., Any], *inputs: Any) -> Any:
        return in_block(self._layer, work, self._adapter, self._layer, *inputs)

    def _queries_and_keys(self) -> tuple[Tensor, Tensor]:
        """Return at least the prefix tokens' queries (all where there are none), and all keys."""
        if self._used is not None:
            return self._used[:2]
        if self._first is None:
            self._first = self._in_block(queries_and_keys, self._block_input, self._positions)
        return self._first

    def _all(self) -> States:
        if self._used is None:
            self._used = self._in_block(queries_keys_values, self._block_input, self._positions)
        return self._used

    @property
    def _bias(self) -> Tensor | None:
        num_patches = self._block_input.shape[1] - self._num_prefix
        return key_bias(self._num_prefix, self._key_weights, self._words, num_patches)

    def text(self) -> TextTokens:
        """Return the words of the sequence through the block's first norm, as its attention reads such tokens.

        The residual stream of a pre-norm transformer has no fixed scale; that the norm is this one is our choice.

        Raises:
            ComponentError: The sequence holds no words.
        """
        words = self._need_words()
        words_read = self._tokens[:, self.num_image_prefix : self._num_prefix]
        states = in_block(self._layer, self._adapter.norm1, self._layer, words_read)
        return TextTokens(states, states[:, 0], words)

    def _need_words(self) -> Tensor:
        if self._words is None:
            raise ComponentError(
                "model.selectors: a selector asks for the words in the sequence of the block, got a backbone that "
                "reads patches alone. Set model.fusion.type to SingleStreamFusion, or use another selector."
            )
        return self._words

    @override
    def cls_attention(self) -> Tensor:
        if not self._adapter.has_blocks:
            return share_in_summary(self._tokens, self._num_prefix)
        if not self._num_prefix:
            return self.attention_received()
        queries, keys = self._queries_and_keys()
        return first_row(self._adapter, self._layer, queries, keys, self._positions, self._bias)[:, self._num_prefix :]

    @override
    def cls_query(self) -> Tensor:
        queries = self._queries_and_keys()[0]
        return queries[:, :, 0] if self._num_prefix else queries.mean(dim=2)  # (B, H, n, E) -> (B, H, E)

    @override
    def keys(self) -> Tensor:
        # (B, H, P + N, E) -> (B, N, H, E)
        return self._queries_and_keys()[1][:, :, self._num_prefix :].transpose(1, 2)

    @override
    def project_query(self, vectors: Tensor) -> Tensor:
        return in_block(self._layer, self._adapter.project_one, self._layer, vectors, 0)

    @override
    def normed(self) -> Tensor:
        return in_block(self._layer, self._adapter.norm2, self._layer, self._tokens[:, self._num_prefix :])

    @override
    @torch.no_grad()
    def attention_received(self) -> Tensor:
        (queries, keys, _), bias = self._all(), self._bias
        # (B, H, n, E) -> (B, H, E, n). Scaling the keys once is cheaper than scaling every piece of logits.
        scaled = keys.transpose(-1, -2) * self._adapter.scale(self._layer)
        relative = in_block(self._layer, self._adapter.logit_bias, self._layer, self._positions)
        asked = self._asked(keys)
        total = keys.new_zeros(keys.shape[0], keys.shape[2])
        for start in range(0, queries.shape[2], _CHUNK):
            logits = queries[:, :, start : start + _CHUNK] @ scaled  # (B, H, chunk, n)
            if relative is not None:
                logits = logits + relative[:, :, start : start + _CHUNK]
            if bias is not None:
                logits = logits + bias[:, None, None, :]
            # Mean over the heads, sum over these queries: (B, H, chunk, n) -> (B, n).
            rows = logits.softmax(dim=-1).mean(dim=1)
            total += (rows if asked is None else rows * asked[:, start : start + _CHUNK, None]).sum(dim=1)
        return total[:, self._num_prefix :] / (queries.shape[2] if asked is None else asked.sum(dim=1, keepdim=True))

    def _asked(self, like: Tensor) -> Tensor | None:
        """Return which tokens count as queries, (B, n), 1 or 0; ``None`` for all: padding depends on the batch."""
        if self._words is None:
            return None
        return F.pad(self._words, (self.num_image_prefix, like.shape[2] - self._num_prefix), value=True).to(like.dtype)

    @override
    @torch.no_grad()
    def word_attention(self) -> Tensor:
        words = self._need_words()
        queries, keys, _ = self._all()
        queries = queries[:, :, self.num_image_prefix : self._num_prefix]
        logits = queries @ keys.transpose(-1, -2) * self._adapter.scale(self._layer)  # (B, H, L, n)
        bias = self._bias
        assert bias is not None, "there are words, of which some may be padding"
        rows = (logits + bias[:, None, None, :]).softmax(dim=-1).mean(dim=1)  # mean over the heads: (B, L, n)
        rows = rows * words.unsqueeze(-1) / words.sum(dim=1)[:, None, None]
        return rows.sum(dim=1)[:, self._num_prefix :]

    @override
    def text_attention(self) -> Tensor:
        words = self.attention_of_words()  # (B, L, N)
        mask = self._words if self._words is not None else self._need_text().attention_mask
        places = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask, places, 0).max(dim=1).values  # the first where none may be read
        return words[torch.arange(len(last), device=last.device), last]

    @override
    def attention_of_words(self) -> Tensor:
        if self._words is not None:
            queries, keys, _ = self._all()
            queries = queries[:, :, self.num_image_prefix : self._num_prefix]  # (B, H, L, E)
        else:
            embeds = self._need_text().embeds
            keys = self._queries_and_keys()[1]
            queries = self.project_query(embeds).unflatten(-1, (keys.shape[1], -1)).transpose(1, 2)
        # In half precision many patches would tie, and ties go to the upper left.
        with torch.autocast(keys.device.type, enabled=False):
            logits = at_least_float32(queries) @ at_least_float32(keys[:, :, self._num_prefix :]).transpose(-1, -2)
            logits = logits * self._adapter.scale(self._layer)  # (B, H, L, N)
            if self._key_weights is not None:
                logits = logits + log_weights(at_least_float32(self._key_weights))[:, None, None]
            return logits.softmax(dim=-1).mean(dim=1)

    @override
    def entered(self) -> tuple[Tensor, Tensor]:
        text = self._need_text() if self._words is None else self.text()
        return self._tokens[:, self._num_prefix :], text.embeds

    def _need_text(self) -> TextTokens:
        if self._text is None:
            raise ComponentError(
                "model.selectors: a selector asks for the attention of the text, got a pass without one. Set "
                "needs_text of the selector, so that the class token's attention takes its place then."
            )
        width = self._tokens.shape[-1]
        if self._text.embeds.shape[-1] != width:
            raise ComponentError(
                f"model.selectors: the block's query weights read the text, so it must have the width {width} of the "
                f"patches, got {self._text.embeds.shape[-1]}. {WIDTH_ADVICE}"
            )
        return self._text

    @override
    def read(self, vectors: Tensor) -> Tensor:
        return self._in_block(read_block, vectors, self._all(), self._positions, self._bias)

    @override
    @torch.no_grad()
    def look_ahead(self, prefix: Tensor, num_blocks: int) -> Tensor:
        if not self._num_prefix:
            raise ComponentError(
                f"model.selectors: looking ahead needs a class token, got {type(self._adapter.vit).__name__}, which "
                "has none. Use a backbone with one, or a selector that reads the patches."
            )
        adapter, bias = self._adapter, self._bias
        tokens = torch.cat([prefix, self._tokens[:, self.num_image_prefix :]], dim=1)
        # Of the last block only the class token's attention is needed, so it is not run.
        ahead = adapter.layers[self._block - 1 : self._block - 1 + num_blocks]
        if len(ahead) < num_blocks:
            raise ComponentError(
                f"model.selectors: {num_blocks} blocks from block {self._block} on are asked for, got a backbone of "
                f"{len(adapter.layers)}. Look ahead less far; last_block_read of a selector says how far at building."
            )
        for layer in ahead[:-1]:
            mixed, _ = in_block(layer, attention_half, adapter, layer, tokens, self._positions, bias)
            tokens = in_block(layer, adapter.feed_forward_half, layer, mixed)
        queries, keys = in_block(ahead[-1], queries_and_keys, adapter, ahead[-1], tokens, self._positions)
        return first_row(adapter, ahead[-1], queries, keys, self._positions, bias)[:, self._num_prefix :]
