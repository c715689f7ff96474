"""One block in two halves, for any transformer that an adapter can take apart.

Shapes: B batch, n tokens, P prefix tokens, D width, H heads, E = D / H. ``positions``: where the patch
tokens are in the image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from bus_toolkit.backbones.adapters.base import States, TransformerAdapter
from bus_toolkit.backbones.positions import TokenPositions

# Set on a block that keeps no activations and runs again in the backward pass.
RECOMPUTED = "recomputed_in_backward"
# Set on a block whose weights are spread over several processes: calls a function while they are together.
ENTERED = "call_with_weights"


def in_block(layer: Any, work: Callable[..., Any], *inputs: Any) -> Any:
    """Return ``work(*inputs)``, which uses parts of a block; everything that does so outside its ``forward`` goes here.

    What finds the weights of a block at its forward pass (fully sharded training) would not find them otherwise.
    """
    entered = getattr(layer, ENTERED, None)
    return work(*inputs) if entered is None else entered(work, *inputs)


def run_half(layer: Any, half: Callable[..., Any], *inputs: Any) -> Any:
    """Return what ``half`` of a block gives; a block that is marked ``RECOMPUTED`` keeps its activations no longer.

    A block that runs as one does so by its own ``forward``; one that a selector enters needs this for each half.
    """
    if getattr(layer, RECOMPUTED, False):
        return in_block(layer, partial(checkpoint, half, use_reentrant=False), *inputs)
    return in_block(layer, half, *inputs)


def run_whole(adapter: TransformerAdapter, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
    """Return ``tokens`` after a block that no selector enters, by the library's own code if that knows the places."""
    if adapter.runs_whole(positions):
        return adapter.run_block(layer, tokens, positions)
    mixed, _ = run_half(layer, attention_half, adapter, layer, tokens, positions)
    widened: Tensor = run_half(layer, adapter.feed_forward_half, layer, mixed)
    return widened


def queries_keys_values(adapter: TransformerAdapter, layer: Any, tokens: Tensor, positions: TokenPositions) -> States:
    """Return what a block's attention makes of tokens (B, n, D), each (B, H, n, E)."""
    states = adapter.project(layer, adapter.norm1(layer, tokens))  # three of (B, n, D)
    queries, keys, values = (_by_head(part, adapter.num_heads(layer)) for part in states)
    return adapter.rotate(layer, queries, positions), adapter.rotate(layer, keys, positions), values


def queries_and_keys(
    adapter: TransformerAdapter, layer: Any, tokens: Tensor, positions: TokenPositions
) -> tuple[Tensor, Tensor]:
    """Return the queries of the prefix (of all tokens where there is none) and all keys, at D^2 MACs each."""
    normed, heads = adapter.norm1(layer, tokens), adapter.num_heads(layer)
    keys = adapter.rotate(layer, _by_head(adapter.project_one(layer, normed, 1), heads), positions)
    # Only the class token asks; the mean of all queries replaces it when there is none.
    asking = normed[:, : adapter.num_prefix] if adapter.num_prefix else normed
    queries = _by_head(adapter.project_one(layer, asking, 0), heads)  # (B, H, P or n, E)
    # Prefix tokens have no place in the image, so rotary positions leave their queries as they are.
    return queries if adapter.num_prefix else adapter.rotate(layer, queries, positions), keys


def attention_half(
    adapter: TransformerAdapter, layer: Any, tokens: Tensor, positions: TokenPositions, key_bias: Tensor | None = None
) -> tuple[Tensor, States]:
    """Return ``tokens`` after a block's attention, residual included, and the states that it used.

    As long as all tokens are there and count alike, this is the library's own arithmetic, bit for bit; after a
    reduction the kernel is a fused one.

    Args:
        adapter: What knows the block.
        layer: The block.
        tokens: (B, n, D).
        positions: Their places.
        key_bias: Added to the logits of each key, (B, n).

    Returns:
        Tokens (B, n, D), and queries, keys and values (B, H, n, E).
    """
    used = queries_keys_values(adapter, layer, tokens, positions)
    # The library's arithmetic knows neither missing tokens nor weights of keys.
    if positions.complete and key_bias is None:
        mixed = adapter.own_attention(layer, used, positions)
    else:
        mixed = _attend(adapter, layer, used, adapter.logit_bias(layer, positions), key_bias)
    return tokens + _branch(adapter, layer, mixed), used


def read_block(
    adapter: TransformerAdapter,
    layer: Any,
    vectors: Tensor,
    used: States,
    positions: TokenPositions,
    key_bias: Tensor | None = None,
) -> Tensor:
    """Return extra tokens (B, M, D) after a block whose states they read but do not change; they have no position."""
    queries = _by_head(adapter.project_one(layer, adapter.norm1(layer, vectors), 0), adapter.num_heads(layer))
    # Relative positions of the extra tokens: those of a prefix token, which has no place in the image either.
    mask = adapter.logit_bias(layer, positions, num_queries=1)
    mixed = _attend(adapter, layer, (queries, *used[1:]), mask, key_bias)
    return adapter.feed_forward_half(layer, vectors + _branch(adapter, layer, mixed))


def _attend(
    adapter: TransformerAdapter, layer: Any, states: States, mask: Tensor | None, key_bias: Tensor | None
) -> Tensor:
    if key_bias is not None:
        weights = key_bias[:, None, None, :]  # (B, n) -> (B, 1, 1, n): the same for all heads and queries
        mask = weights if mask is None else mask + weights
    return F.scaled_dot_product_attention(
        *states,
        attn_mask=None if mask is None else mask.to(states[0].dtype),
        dropout_p=adapter.attention_dropout(layer),
        scale=adapter.scale(layer),
    )


def _branch(adapter: TransformerAdapter, layer: Any, mixed: Tensor) -> Tensor:
    # (B, H, n, E) -> (B, n, H, E) -> (B, n, D)
    return adapter.attention_branch(layer, mixed.transpose(1, 2).flatten(2))


def _by_head(states: Tensor, num_heads: int) -> Tensor:
    # (B, n, D) -> (B, n, H, E) -> (B, H, n, E)
    return states.unflatten(-1, (num_heads, -1)).transpose(1, 2)
