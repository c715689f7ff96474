"""ViLT's fusion: words and patches go through the blocks of one transformer together, and selectors act in it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from bus_toolkit.backbones.conditioned_pass import Select
from bus_toolkit.backbones.joint_pass import run_image, run_joint, run_words
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.structures import FusedTokens, TextTokens, VisualTokens

_WORD, _PATCH = 0, 1


class SingleStreamFusion(nn.Module):
    """Let words and patches go through the blocks of ``model.backbone`` as one sequence. Goes into ``model.fusion``.

    There are no towers then (ViLT, arXiv 2102.03334; dandelin/ViLT:vilt/modules/vilt_module.py): the backbone embeds
    the patches, ``BertTextEncoder`` with ``num_layers: 0`` the words, both get a vector of their kind, and the blocks
    and the last norm of the backbone read them together. The global token of a pair is ``tanh`` of a linear map of
    the text's [CLS], as there.

    ``model.selectors`` act inside these blocks. They remove image tokens only, and read the words where they are, so
    ``model.conditioning.mode`` changes nothing: a head that hides words has them hidden in its own sequence too, and
    nothing can leak by the selection that the sequence does not hold anyway. Ours (ViLT has none of it): a selector
    gets the words at its place through the block's first norm, their [CLS] as the text's vector; a contrastive head
    gets the two class tokens of passes in which image and text run alone, since a pair in one sequence has seen each
    other. These passes come on top: with one image and one text, about the cost of one more pair without reduction.

    Args:
        text_dim: Width D of the words; filled in from the text encoder.
        embed_dim: Width of the patches; filled in from the backbone. Must equal D.

    Raises:
        ValueError: Unequal widths.
    """

    def __init__(self, *, text_dim: int, embed_dim: int) -> None:
        super().__init__()
        if text_dim != embed_dim:
            raise ValueError(
                f"text_dim: words and patches go through the same blocks, so both must be equally wide, got {text_dim} "
                f"and {embed_dim}. Give text_encoder.hidden_size the backbone's width."
            )
        self.types = nn.Embedding(2, text_dim)
        self.pool = nn.Linear(text_dim, text_dim)
        for part in (self.types, self.pool):
            nn.init.normal_(part.weight, std=0.02)
        nn.init.zeros_(self.pool.bias)

    def forward(
        self, text: TextTokens, visual: VisualTokens, backbone: TokenReducingBackbone, num_blocks: int | None = None
    ) -> FusedTokens:
        """Run ``text`` (B, L, D) and embedded images ``visual`` (B, P + N, D) through the blocks of ``backbone``.

        Args:
            text: Words; padded ones are never read.
            visual: Images that no block has seen.
            backbone: Gives the blocks and the selectors.
            num_blocks: Stop after this block (a pass for patch scores alone); all of them when not given.
        """
        words = replace(text, embeds=text.embeds + self.types.weight[_WORD])
        image, states = run_joint(backbone, self._typed(visual), words, num_blocks)
        pooled = torch.tanh(self.pool(states[:, 0]))
        return FusedTokens(states, image.embeds, text.attention_mask, pooled, image.unread, image)

    def image_alone(
        self, visual: VisualTokens, backbone: TokenReducingBackbone, select: Select, num_blocks: int | None = None
    ) -> VisualTokens:
        """Run embedded images (B, P + N, D) through the blocks without any text, under the selectors of ``select``."""
        return run_image(backbone, self._typed(visual), select, num_blocks)

    def text_alone(self, text: TextTokens, backbone: TokenReducingBackbone) -> TextTokens:
        """Run texts (B, L, D) through the blocks without any image."""
        words = replace(text, embeds=text.embeds + self.types.weight[_WORD])
        states = run_words(backbone, words)
        return TextTokens(states, states[:, 0], text.attention_mask)

    def _typed(self, visual: VisualTokens) -> VisualTokens:
        return replace(visual, embeds=visual.embeds + self.types.weight[_PATCH])
