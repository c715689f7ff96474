"""ALBEF's fusion: text tokens read the image, layer by layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bus_toolkit.fusion.base import LayeredFusion
from bus_toolkit.signatures import forwards_to_super
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens


class CrossAttentionFusion(LayeredFusion):
    """Let the text read the image by cross-attention (salesforce/ALBEF:models/xbert.py). Goes into ``model.fusion``.

    Each layer is self-attention over the text, cross-attention to the visual tokens, feed-forward. The image is only
    read.

    Args:
        settings: The arguments of ``LayeredFusion``; ALBEF has ``norm_first`` ``False``.
    """

    @forwards_to_super()
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.layers = self.reading_layers()
        self.norm = self.layer_settings.closing_norm()

    def forward(
        self, text: TextTokens, visual: VisualTokens, prior: Tensor | None = None, *, first_only: bool = False
    ) -> FusedTokens:
        """Fuse ``text`` (B, L, D) with ``visual`` (B, V, D_v); padded text is never read.

        Args:
            text: Words.
            visual: Visual tokens.
            prior: Added to the logits of the attention from text to visual tokens in every layer, (B, V).
            first_only: Whether the first token is all that is wanted of the text: the last layer then gives that alone.
        """
        image = self.visual_proj(visual.of_images.embeds)  # (M, V, D): several texts may read one image
        states, keys = text.embeds, self.key_mask_of_images(visual, prior)
        inputs = {"tgt_key_padding_mask": ~text.attention_mask, "memory_key_padding_mask": keys, "rows": visual.rows}
        for number, layer in enumerate(self.layers, start=1):
            states = layer(states, image, first_only=first_only and number == self.num_layers, **inputs)
        image = self.for_each_text(image, visual)
        return FusedTokens(self.norm(states), image, text.attention_mask[:, : states.shape[1]], unread=visual.unread)
