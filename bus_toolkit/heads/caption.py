"""Captioning: write a caption from the image alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.heads.base import HeadOutput, VLPHead
from bus_toolkit.heads.writing import write_texts
from bus_toolkit.losses.next_token import checked_smoothing, next_token_loss
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, Vocabulary
from bus_toolkit.text_decoders.generate import search_rules


class CaptionHead(VLPHead):
    """Write the whole caption from [CLS] and the image.

    The text decoder reads the visual tokens directly, without text encoder and fusion, through a linear map and a
    normalisation where the widths differ, as in mPLUG's caption model (alibaba/AliceMind:mPLUG/models/
    model_caption_mplug.py; its dropout is left out). Whatever ``conditioning.mode`` says, the image is encoded without
    text, as it has to be when there is no caption yet; ``conditioning.without_text`` says what selects then. The
    prediction is ``pred_caption``, a string a sample; a data set of ``CaptionedImages`` has one sample an image.

    Args:
        embed_dim: Width of the visual tokens; filled in from the backbone.
        text_dim: Width that the text decoder reads; filled in from the text encoder.
        vocabulary: Token ids; filled in from the tokenizer.
        search: Arguments of ``bus_toolkit.text_decoders.generate.SearchRules``; ``max_length`` is at most, and if not
            given, the tokenizer's.
        label_smoothing: Share of the target spread over the vocabulary.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A search setting that does not exist, or a number out of range.
    """

    sees = Condition.FREE
    needs_text_decoder = True

    def __init__(
        self,
        *,
        embed_dim: int,
        text_dim: int,
        vocabulary: Vocabulary,
        search: Mapping[str, Any] | None = None,
        label_smoothing: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        self.rules = search_rules(search, vocabulary.max_length)
        self.vocabulary = vocabulary
        self.label_smoothing = checked_smoothing(label_smoothing)
        same = embed_dim == text_dim
        self.project = nn.Identity() if same else nn.Sequential(nn.Linear(embed_dim, text_dim), nn.LayerNorm(text_dim))

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_caption``: the mean cross-entropy over all tokens after [CLS]."""
        ids, mask = step.batch.tokens
        memory, memory_mask = self._memory(step)
        logits = step.encoders.decode(step.batch.tokens, memory, memory_mask)  # (B, L, V)
        return HeadOutput({"caption": next_token_loss(logits, ids, mask[:, 1:].float(), self.label_smoothing)})

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the best caption for each image."""
        return {"pred_caption": write_texts(step.encoders, *self._memory(step), self.vocabulary, self.rules)}

    def _memory(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return the visual states (B, M, D) and which of them may be read, bool (B, M)."""
        visual = step.visual(Condition.FREE)
        memory = self.project(visual.embeds)
        if visual.unread is not None:
            return memory, ~visual.unread
        return memory, torch.ones(memory.shape[:2], dtype=torch.bool, device=memory.device)
