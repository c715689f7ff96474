"""mPLUG's fusion: the text reads the image, and every few layers both are processed together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.fusion.base import LayeredFusion
from bus_toolkit.signatures import forwards_to_super
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


class SkipConnectedFusion(LayeredFusion):
    """Cross-modal skip-connected fusion (X-PLUG/mPLUG:models/modeling_mplug.py). Goes into ``model.fusion``.

    Layer j (from 0) is a reading layer ``T <- FFN(CA(SA(T), V))``, unless j > 0 and j is a multiple of ``stride``. Then
    it is a connected layer: ``[V'; T'] = FFN(SA([V; T]))``, ``V <- V + V'``, ``T <- T'``.

    Args:
        stride: Distance of the connected layers; as large as ``num_layers`` means none.
        settings: The arguments of ``LayeredFusion``; mPLUG has ``norm_first`` ``False``.

    Raises:
        ValueError: ``stride`` below 1.
    """

    @forwards_to_super()
    def __init__(self, *, stride: int = 3, **settings: Any) -> None:
        if stride < 1:
            raise ValueError(f"stride: must be 1 or more, got {stride}.")
        super().__init__(**settings)
        self.connected = [j > 0 and j % stride == 0 for j in range(self.num_layers)]
        layer = self.layer_settings
        self.layers = nn.ModuleList(
            layer.joint_layer() if connected else layer.reading_layer() for connected in self.connected
        )
        self.norm = layer.closing_norm()

    def forward(
        self, text: TextTokens, visual: VisualTokens, prior: Tensor | None = None, *, first_only: bool = False
    ) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); padded text is never read.

        Args:
            text: Words.
            visual: Visual tokens.
            prior: Added to the logits of the attention from text to visual tokens in every reading layer, (B, V).
            first_only: Whether the first token is all that is wanted of the text: a reading layer at the end then gives
                that alone.
        """
        # (M, V, D), (B, L, D): up to the first connected layer several texts may read one image.
        image, states = self.visual_proj(visual.of_images.embeds), text.embeds
        padding, unread, keys = ~text.attention_mask, visual.unread, self.key_mask_of_images(visual, prior)
        # Visual tokens come first, and as a rule all of them are read: bool (B, V + L).
        hidden = padding.new_zeros(visual.embeds.shape[:2]) if unread is None else unread
        all_padding = torch.cat([hidden, padding], dim=1)
        for number, (layer, connected) in enumerate(zip(self.layers, self.connected, strict=True), start=1):
            if connected and visual.unrepeated is not None:
                image, keys = self.for_each_text(image, visual), self.key_mask(visual, prior)
                visual = replace(visual, unrepeated=None, rows=None)
            if connected:
                image, states = _run_connected(layer, image, states, all_padding)
            else:
                last = first_only and number == self.num_layers
                inputs = {"tgt_key_padding_mask": padding, "memory_key_padding_mask": keys, "rows": visual.rows}
                states = layer(states, image, first_only=last, **inputs)
        image = self.for_each_text(image, visual)
        return FusedTokens(self.norm(states), image, text.attention_mask[:, : states.shape[1]], unread=unread)


def _run_connected(layer: nn.Module, image: Tensor, states: Tensor, all_padding: Tensor) -> tuple[Tensor, Tensor]:
    """Run both streams through one joint layer; return the image (B, V, D) and the text (B, L, D)."""
    num_visual = image.shape[1]
    out = layer(torch.cat([image, states], dim=1), src_key_padding_mask=all_padding)  # (B, V + L, D)
    # The skip connection is the image's alone: it re-enters what the reading layers in between left unchanged.
    return image + out[:, :num_visual], out[:, num_visual:]
