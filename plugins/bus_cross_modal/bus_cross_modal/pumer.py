"""PuMer: a two-stream fusion that prunes the image by the text, and merges within both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_cross_modal.reading_layer import attention_half, feed_forward_half
from bus_cross_modal.text_image_reduction import attention_of_text, image_plans, sizes_after, text_plans
from bus_toolkit.fusion import CoAttentionFusion
from bus_toolkit.ops import apply_plan, at_least_float32_dtype, compose, scatter_back
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


@dataclass(frozen=True)
class _Streams:
    """Both streams on their way: tokens, the text's mask, and sizes and origin without the protected first tokens.

    ``unread``: which image tokens hold nothing, prefix included; ``None`` where all may be read.
    """

    text: Tensor
    mask: Tensor
    text_sizes: Tensor
    text_origin: Tensor
    image: Tensor
    image_sizes: Tensor
    unread: Tensor | None


class PuMerFusion(CoAttentionFusion):
    """Let text and image read each other in streams that get shorter (``PuMer``). Goes into ``model.fusion``.

    arXiv 2305.17530; csarron/PuMer:src/pumer/model/meter/modules_meter.py. In a reducing layer the text reads the whole
    image first. Then, before the text's feed-forward part and of all that the image does in that layer: image
    tokens are kept by the attention that they got there, the mean of all heads and of the text tokens; the kept ones
    are merged as in ToMe, compared by their keys in that attention; text tokens likewise, by their keys in
    self-attention. In the other layers, and at ratios of 0, this is ``CoAttentionFusion``, weights included.

    Ours:

    - The kept image tokens stay in the order they have (that of the image, after a merge ToMe's), which merging splits
      in two; there they are in the order of their scores.
    - Padded text is neither merged nor counted, whatever the length of the batch; there it asks the image, merges like
      words, and the mask is averaged with it.
    - The text comes out at its original length, each token being the one that it ended in, so that all heads work;
      words that were merged share one. There it stays short, in ToMe's order.
    - Image prefix tokens and the text's [CLS] are kept apart, since the heads read them; there an image [CLS] may be
      pruned, and merging spares whatever scored highest.
    - The image reads the text as it was before the layer, as in the layers around; counts are rounded down; merged
      tokens remember their sizes from layer to layer. The distillation from an unpruned model is not here.

    Args:
        reduce_layers: Layers that reduce, counted from 1; by default the first two thirds, which is what METER has
            there for VQA (notes/cmd.md: ``0,2,4,6`` of 6 layers, since its layers count in twos).
        prune_ratio: Share of the image tokens that a reducing layer removes, in [0, 1).
        merge_ratio: Share of the image tokens that it merges away, in [0, 0.5].
        text_merge_ratio: Share of the text tokens that it merges away, in [0, 0.5].
        settings: The arguments of ``LayeredFusion``, for both streams; METER has ``norm_first`` ``False``.

    Raises:
        ValueError: A layer that does not exist, or twice; a ratio outside its range.
    """

    def __init__(
        self,
        *,
        reduce_layers: Sequence[int] | None = None,
        prune_ratio: float = 0.1,
        merge_ratio: float = 0.3,
        text_merge_ratio: float = 0.2,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        num_layers = self.num_layers
        layers = list(range(1, math.ceil(2 * num_layers / 3) + 1)) if reduce_layers is None else sorted(reduce_layers)
        if len(set(layers)) != len(layers) or not set(layers) <= set(range(1, num_layers + 1)):
            raise ValueError(f"reduce_layers: must be different layers from 1 to {num_layers}, got {layers}.")
        if not 0.0 <= prune_ratio < 1.0:
            raise ValueError(f"prune_ratio: must be in [0, 1), got {prune_ratio}.")
        if not (0.0 <= merge_ratio <= 0.5 and 0.0 <= text_merge_ratio <= 0.5):
            raise ValueError(
                f"merge_ratio and text_merge_ratio: must be in [0, 0.5], got {merge_ratio} and {text_merge_ratio}. "
                "One layer can at most halve its tokens."
            )
        self.prune_ratio, self.merge_ratio, self.text_merge_ratio = prune_ratio, merge_ratio, text_merge_ratio
        self.reduce_layers = layers if prune_ratio or merge_ratio or text_merge_ratio else []

    def forward(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); the visual tokens returned are those left."""
        if not self.reduce_layers:
            return super().forward(text, visual)
        # [CLS] is never merged: only the other L - 1 tokens have sizes and an origin.
        image, rest = self.visual_proj(visual.embeds), text.embeds[:, 1:]
        exact = at_least_float32_dtype(image)  # half precision rounds counts above 256 or 2048
        sizes = image.new_ones(image.shape[0], image.shape[1] - visual.num_prefix, dtype=exact)
        if visual.unread is not None:
            sizes = sizes.masked_fill(visual.unread[:, visual.num_prefix :], 0.0)
        streams = _Streams(
            text=text.embeds,
            mask=text.attention_mask,
            text_sizes=text.attention_mask[:, 1:].to(exact),
            text_origin=torch.arange(rest.shape[1], device=rest.device).expand(rest.shape[:2]),
            image=image,
            image_sizes=sizes,
            unread=visual.unread,
        )
        layers = zip(self.text_layers, self.image_layers, strict=True)
        for number, (read_image, read_text) in enumerate(layers, start=1):
            before, padding = streams, ~streams.mask
            if number in self.reduce_layers:
                streams = self._reduce(read_image, before)
            else:
                states = read_image(
                    before.text, before.image, tgt_key_padding_mask=padding, memory_key_padding_mask=before.unread
                )
                streams = replace(before, text=states)
            # The image reads the text as it was before this layer, at its length before this layer.
            image = read_text(
                streams.image, before.text, tgt_key_padding_mask=streams.unread, memory_key_padding_mask=padding
            )
            streams = replace(streams, image=image)
        states, image = self.text_norm(streams.text), self.image_norm(streams.image)
        pooled = torch.tanh(self.pool(torch.cat([states[:, 0], image[:, 0]], dim=1)))
        # Back to the original length: (B, S, D) -> (B, L - 1, D), [CLS] before it.
        whole = torch.cat([states[:, :1], scatter_back(states[:, 1:], streams.text_origin)], dim=1)
        return FusedTokens(whole, image, text.attention_mask, pooled, streams.unread)

    def _reduce(self, layer: Any, before: _Streams) -> _Streams:
        """Run the text through a reducing layer, and shorten both streams inside it."""
        num_prefix = before.image.shape[1] - before.image_sizes.shape[1]
        seen = None if before.unread is None else ~before.unread
        read = attention_half(layer, before.text, before.image, before.mask, seen)
        scores = attention_of_text(read.queries, read.other_keys, before.mask, before.unread)[:, num_prefix:]
        # Mean over the heads, prefix left out: (B, H, P + N, E) -> (B, N, E).
        keys = read.other_keys.mean(dim=1)[:, num_prefix:]
        prefix, image, sizes = before.image[:, :num_prefix], before.image[:, num_prefix:], before.image_sizes
        plans = image_plans(
            scores,
            keys,
            sizes,
            prune_ratio=self.prune_ratio,
            merge_ratio=self.merge_ratio,
            num_prefix=num_prefix,
        )
        for plan in plans:
            image, sizes = apply_plan(image, plan), sizes_after(sizes, plan)
        words, mask, text_sizes, origin = read.states[:, 1:], before.mask[:, 1:], before.text_sizes, before.text_origin
        for plan in text_plans(read.own_keys.mean(dim=1)[:, 1:], mask, text_sizes, self.text_merge_ratio):
            words, mask = apply_plan(words, plan), mask.gather(1, plan.keep_indices)
            text_sizes, origin = sizes_after(text_sizes, plan), compose(origin, plan)
        return _Streams(
            text=feed_forward_half(layer, torch.cat([read.states[:, :1], words], dim=1)),
            mask=torch.cat([before.mask[:, :1], mask], dim=1),
            text_sizes=text_sizes,
            text_origin=origin,
            image=torch.cat([prefix, image], dim=1),
            image_sizes=sizes,
            # A token that holds no image token holds nothing; prefix tokens are always read.
            unread=None if before.unread is None else F.pad(sizes == 0, (num_prefix, 0)),
        )
