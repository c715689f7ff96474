"""Prefix language modelling: write the rest of a caption."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.heads.base import Step, VLPHead
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.structures import TokenBatch


class PrefixLMHead(VLPHead):
    """Continue a caption from its first words and the image.

    The prefix is encoded and fused with the image; the decoder reads both and writes the rest (mPLUG's "Prefix" loss;
    X-PLUG/mPLUG:models/model_pretrain_mplug.py was not released, so the split point is our choice: uniform between
    [CLS] alone and half of the caption).

    Args:
        label_smoothing: Share of the target spread over the vocabulary.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.
    """

    needs_fusion = True
    needs_text_decoder = True
    only_name = "prefix_lm"

    def __init__(self, *, label_smoothing: float = 0.0, weight: float = 1.0, start_epoch: float = 0.0) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        self.label_smoothing = label_smoothing

    def prefix_lengths(self, tokens: TokenBatch, noise_B: Tensor) -> Tensor:
        """Return how many tokens of each caption are given, (B,): at least [CLS], at most half."""
        half = tokens.attention_mask.sum(dim=1) // 2
        return (1 + (noise_B * half).long()).clamp(max=half.clamp(min=1))

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return ``loss_prefix_lm``: the mean cross-entropy over the tokens behind the prefix."""
        ids, mask = step.tokens
        places = torch.arange(ids.shape[1], device=ids.device)
        given = places < step.prefix_lengths.unsqueeze(1)
        fused = step.fuse(step.prefix_text, step.visual("prefix_lm"))
        memory = torch.cat([fused.visual, fused.text], dim=1)
        memory_mask = torch.cat([mask.new_ones(fused.visual.shape[:2]), fused.attention_mask], dim=1)
        logits = step.decode(step.tokens, memory, memory_mask)[:, :-1].float()
        losses = F.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none", label_smoothing=self.label_smoothing
        )
        wanted = (mask & ~given)[:, 1:].flatten().to(losses.dtype)
        return {"loss_prefix_lm": mean_over_ranks(losses, wanted)}
