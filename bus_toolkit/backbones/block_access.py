"""The inside of a block, for selectors that ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.backbones.openmmlab import (
    attention_half,
    feed_forward_half,
    project_query,
    queries_and_keys,
    queries_keys_values,
    read_block,
)

# Queries whose attention is looked at together: what ``attention_received`` holds at once is this times N, a head.
_CHUNK = 128


def key_bias(num_prefix: int, key_weights: Tensor | None) -> Tensor | None:
    """Return what is added to attention logits (B, P + N) so that keys count by their weights (B, N); prefix: 1."""
    if key_weights is None:
        return None
    # The smallest weight keeps its gradient: a mask that was 0 in the forward pass can come back.
    logs = key_weights.clamp(min=1e-6).log()
    return torch.cat([logs.new_zeros(logs.shape[0], num_prefix), logs], dim=1)


class ViTBlockAccess:
    """Queries, keys and look-ahead of one block of an OpenMMLab transformer (``selectors.view.BlockAccess``).

    Args:
        layers: All blocks.
        block: Number of this block, from 1.
        num_prefix: Prefix tokens P.
        tokens: The tokens (B, P + N, D) at the selector's site.
        block_input: What the block's attention reads or has read, (B, P + N, D).
        key_weights: Weight of each candidate as a key, (B, N), or ``None``.
        used: Queries, keys and values (B, H, P + N, E) that the block's attention has just used, where it has.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        block: int,
        *,
        num_prefix: int,
        tokens: Tensor,
        block_input: Tensor,
        key_weights: Tensor | None,
        used: tuple[Tensor, Tensor, Tensor] | None,
    ) -> None:
        self._layers, self._block, self._num_prefix = layers, block, num_prefix
        self._tokens, self._block_input, self._key_weights = tokens, block_input, key_weights
        self._used = used
        self._first: tuple[Tensor, Tensor] | None = None

    @property
    def _layer(self) -> Any:  # noqa: ANN401
        return self._layers[self._block - 1]

    def _queries_and_keys(self) -> tuple[Tensor, Tensor]:
        """Return at least the CLS token's query, and all keys."""
        if self._used is not None:
            return self._used[:2]
        if self._first is None:
            self._first = queries_and_keys(self._layer, self._block_input, num_queries=1)
        return self._first

    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        if self._used is None:
            self._used = queries_keys_values(self._layer, self._block_input)
        return self._used

    @property
    def _bias(self) -> Tensor | None:
        return key_bias(self._num_prefix, self._key_weights)

    def cls_attention(self) -> Tensor:
        """See ``BlockAccess``."""
        queries, keys = self._queries_and_keys()
        return _cls_row(queries, keys, self._bias)[:, self._num_prefix :]

    def cls_query(self) -> Tensor:
        """See ``BlockAccess``."""
        return self._queries_and_keys()[0][:, :, 0]

    def keys(self) -> Tensor:
        """See ``BlockAccess``."""
        return self._queries_and_keys()[1][:, :, self._num_prefix :].transpose(1, 2)

    def project_query(self, vectors: Tensor) -> Tensor:
        """See ``BlockAccess``."""
        return project_query(self._layer, vectors)

    def normed(self) -> Tensor:
        """See ``BlockAccess``."""
        return self._layer.ln2(self._tokens[:, self._num_prefix :])

    @torch.no_grad()
    def attention_received(self) -> Tensor:
        """See ``BlockAccess``."""
        (queries, keys, _), bias = self._all(), self._bias
        scaled = keys.transpose(-1, -2) / keys.shape[-1] ** 0.5
        total = keys.new_zeros(keys.shape[0], keys.shape[2])
        for piece in queries.split(_CHUNK, dim=2):
            logits = piece @ scaled
            if bias is not None:
                logits = logits + bias[:, None, None, :]
            total += logits.softmax(dim=-1).mean(dim=1).sum(dim=1)
        return total[:, self._num_prefix :] / queries.shape[2]

    def read(self, vectors: Tensor) -> Tensor:
        """See ``BlockAccess``."""
        return read_block(self._layer, vectors, self._all(), self._bias)

    @torch.no_grad()
    def look_ahead(self, prefix: Tensor, num_blocks: int) -> Tensor:
        """See ``BlockAccess``."""
        bias = self._bias
        tokens = torch.cat([prefix, self._tokens[:, self._num_prefix :]], dim=1)
        ahead = self._layers[self._block - 1 : self._block - 1 + num_blocks]
        for layer in ahead[:-1]:
            tokens = feed_forward_half(layer, attention_half(layer, tokens, bias)[0])
        queries, keys = queries_and_keys(ahead[-1], tokens, num_queries=1)
        return _cls_row(queries, keys, bias)[:, self._num_prefix :]


def _cls_row(queries: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
    """Return the attention of the first token, averaged over the heads, (B, P + N)."""
    logits = (queries[:, :, :1] @ keys.transpose(-1, -2)).squeeze(2) / keys.shape[-1] ** 0.5
    if bias is not None:
        logits = logits + bias.unsqueeze(1)
    return logits.softmax(dim=-1).mean(dim=1)
