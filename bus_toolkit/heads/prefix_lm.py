"""Prefix language modelling: write the rest of a caption."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from bus_toolkit.heads.base import Copied, HeadOutput, VLPHead
from bus_toolkit.losses.next_token import checked_smoothing, next_token_loss
from bus_toolkit.losses.soft_targets import SoftTargets
from bus_toolkit.step.batch import Batch
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Beginnings, Condition, TokenBatch


class PrefixLMHead(VLPHead):
    """Continue a caption from its first words and the image.

    The prefix is encoded and fused with the image; the decoder reads both and writes the rest (mPLUG's "Prefix" loss;
    X-PLUG/mPLUG:models/model_pretrain_mplug.py was not released, so the split point is our choice: uniform between
    [CLS] alone and half of the caption). With ``max_prefix: 0`` the whole caption is written from [CLS] and the image,
    as BLIP's language model does (arXiv 2201.12086, section 3.2).

    With ``alpha`` the momentum model's next-token probabilities are a part of the targets, as in ALBEF's and mPLUG's
    decoders (salesforce/ALBEF:models/xbert.py, alibaba/AliceMind:mPLUG/models/modeling_mplug.py); whether mPLUG's
    pre-training does so was not published.

    Args:
        max_prefix: Longest prefix as a share of the caption, in [0, 1).
        label_smoothing: Share of the target spread over the vocabulary.
        alpha: Share of the momentum model's soft targets, which ``model.momentum.alpha_ramp_epochs`` lets grow; above 0
            it needs ``model.momentum``, where fusion and text decoder are copied.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: ``max_prefix`` or ``label_smoothing`` outside [0, 1), or ``alpha`` outside [0, 1].
    """

    sees = Condition.PREFIX
    provides = (Condition.PREFIX,)
    needs_fusion = True
    needs_text_decoder = True
    distils: ClassVar[tuple[Copied, ...]] = (Copied.FUSION, Copied.TEXT_DECODER)

    def __init__(
        self,
        *,
        max_prefix: float = 0.5,
        label_smoothing: float = 0.0,
        alpha: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch, alpha=alpha)
        if not 0.0 <= max_prefix < 1.0:
            raise ValueError(f"max_prefix: must be in [0, 1), got {max_prefix}.")
        self.max_prefix = max_prefix
        self.label_smoothing = checked_smoothing(label_smoothing)

    def hide(self, batch: Batch) -> Beginnings:
        """Return the beginnings of a batch's captions, in as many places as the longest one can have.

        How long it is only the device knows; to ask would stop it, and each length would be compiled again.
        """
        lengths = self.prefix_lengths(batch.tokens, batch.noise("prefix_lm", batch.num_captions))
        most = math.ceil(batch.tokens.input_ids.shape[1] * self.max_prefix)
        return Beginnings.of(batch.tokens.up_to(most), lengths)

    def prefix_lengths(self, tokens: TokenBatch, noise_B: Tensor) -> Tensor:
        """Return how many tokens of each caption are given, (B,): at least [CLS], at most the set share."""
        most = (tokens.attention_mask.sum(dim=1) * self.max_prefix).long()
        return (1 + (noise_B * most).long()).clamp(max=most.clamp(min=1))

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_prefix_lm``: the (weighted) mean cross-entropy over the tokens after the prefix."""
        tokens = step.batch.tokens
        places = torch.arange(1, tokens.input_ids.shape[1], device=tokens.input_ids.device)
        is_given = places < step.once(self.hide).lengths.unsqueeze(1)  # (B, L - 1)
        fused = step.encoders.fuse(step.text_of(self.hide), step.visual())
        memory, memory_mask = fused.memory()
        logits = step.encoders.decode(tokens.before_last(), memory, memory_mask)  # (B, L - 1, V)
        weights = (tokens.attention_mask[:, 1:] & ~is_given) * self.token_weights(tokens)
        loss = next_token_loss(logits, tokens.input_ids, weights, self.label_smoothing, self._soft_targets(step))
        return HeadOutput({"prefix_lm": loss})

    def token_weights(self, tokens: TokenBatch) -> Tensor:
        """Return how much each token after the first counts, (B, L - 1) of 0 or more; here all the same.

        Only their ratios matter: the loss is divided by the sum of the weights of the wanted tokens of all ranks.
        """
        return torch.ones_like(tokens.input_ids[:, 1:], dtype=torch.float32)

    def _soft_targets(self, step: Step) -> SoftTargets | None:
        """Return what the momentum model writes after the same prefixes, logits (B, L - 1, V)."""
        momentum = step.momentum
        if not self.alpha or momentum is None:
            return None
        memory, memory_mask = momentum.fuse(momentum.text_of(self.hide)).memory()
        logits = momentum.decode(step.batch.tokens.before_last(), memory, memory_mask)
        return SoftTargets(logits, self.alpha * momentum.trust)
