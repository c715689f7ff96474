"""METER's fusion: text and image are two streams that read each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.fusion.base import LayeredFusion
from bus_toolkit.signatures import forwards_to_super
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


class CoAttentionFusion(LayeredFusion):
    """Let text and image read each other, layer by layer, in streams of their own. Goes into ``model.fusion``.

    Each layer of each stream is self-attention, cross-attention to the other stream as it was before this layer, and
    feed-forward; the global token of the pair is ``tanh`` of a linear map of both streams' first tokens (METER, arXiv
    2111.02387; guoyang9/ELIP:METER/meter/modules/meter_module.py pools each stream and concatenates: one map for both
    is our choice, so that heads see one width).

    Args:
        settings: The arguments of ``LayeredFusion``, for both streams; METER has ``norm_first`` ``False``.
    """

    @forwards_to_super()
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        text_dim = self.layer_settings.width
        self.text_layers, self.image_layers = self.reading_layers(), self.reading_layers()
        self.text_norm = self.layer_settings.closing_norm()
        self.image_norm = self.layer_settings.closing_norm()
        self.pool = nn.Linear(2 * text_dim, text_dim)

    def forward(
        self, text: TextTokens, visual: VisualTokens, prior: Tensor | None = None, *, first_only: bool = False
    ) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); padded text is never read.

        Args:
            text: Words.
            visual: Visual tokens.
            prior: Added to the logits of the attention from text to visual tokens in every layer of the text, (B, V).
            first_only: Whether the global token is all that is wanted: the last layers then give the first tokens
                alone, of text and image.
        """
        image, states = self.visual_proj(visual.embeds), text.embeds  # (B, V, D), (B, L, D)
        padding, unread, keys = ~text.attention_mask, visual.unread, self.key_mask(visual, prior)
        of_text = {"tgt_key_padding_mask": padding, "memory_key_padding_mask": keys}
        of_image = {"tgt_key_padding_mask": unread, "memory_key_padding_mask": padding}
        layers = enumerate(zip(self.text_layers, self.image_layers, strict=True), start=1)
        for number, (read_image, read_text) in layers:
            last = first_only and number == self.num_layers
            # One assignment for both: each stream reads the other as it was before this layer.
            states, image = (
                read_image(states, image, first_only=last, **of_text),
                read_text(image, states, first_only=last, **of_image),
            )
        unread = None if unread is None else unread[:, : image.shape[1]]
        states, image = self.text_norm(states), self.image_norm(image)
        pooled = torch.tanh(self.pool(torch.cat([states[:, 0], image[:, 0]], dim=1)))  # (B, 2 D) -> (B, D)
        return FusedTokens(states, image, text.attention_mask[:, : states.shape[1]], pooled, unread)
