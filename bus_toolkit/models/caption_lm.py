"""A language model of captions without images: the reference of PRIOR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from bus_toolkit.losses.token_weights import next_token_log_probs
from bus_toolkit.models.batch_copies import copy_images_only
from bus_toolkit.ops.collective import mean_logs_over_ranks, mean_over_ranks
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.structures import TokenBatch


class CaptionLanguageModel(BaseModel):
    """Learn how captions go on, from the captions alone.

    PRIOR (arXiv 2505.08971) trains such a model first, and then ``PriorLMHead`` asks it which words of a caption need
    the image. The data may leave the images out (a pipeline of ``PackRegions`` alone); where they are, they are not
    read.

    Args:
        tokenizer: Turns captions into ids.
        text_decoder: Next-token logits from ids, without states.
    """

    def __init__(self, *, tokenizer: Any, text_decoder: nn.Module) -> None:
        # This preprocessor names its results as ``forward`` takes them, with and without images.
        super().__init__(data_preprocessor={"type": "mmpretrain.MultiModalDataPreprocessor"})
        copy_images_only(self.data_preprocessor)
        self.tokenizer = tokenizer
        self.text_decoder = text_decoder

    def forward(
        self, images: Tensor | None = None, data_samples: Sequence[Any] = (), mode: str = "tensor"
    ) -> dict[str, Tensor] | list[Any] | Tensor:
        """Run one of the three modes; ``tensor`` returns the log-probabilities (B, L - 1) of the captions' tokens."""
        if mode == "loss":
            return self.loss(data_samples)
        if mode == "predict":
            return self.predict(data_samples)
        return self.log_probs(self.tokenize(data_samples))

    def tokenize(self, data_samples: Sequence[Any]) -> TokenBatch:
        """Turn the captions into ids on the model's device."""
        device = next(self.text_decoder.parameters()).device
        tokens = self.tokenizer([sample.text for sample in data_samples])
        return TokenBatch(*(to_device(part, device) for part in tokens))

    def log_probs(self, tokens: TokenBatch) -> Tensor:
        """Return the log-probability (B, L - 1) of each token after [CLS], [SEP] included."""
        return next_token_log_probs(self.text_decoder(tokens), tokens.input_ids)

    def loss(self, data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Return ``loss_lm``: the mean cross-entropy over all tokens after [CLS]."""
        tokens = self.tokenize(data_samples)
        log_probs = self.log_probs(tokens)
        return {"loss_lm": mean_over_ranks(-log_probs, tokens.attention_mask[:, 1:].to(log_probs.dtype))}

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses, and average what is logged over the ranks."""
        total, log_vars = super().parse_losses(losses)
        return total, mean_logs_over_ranks(log_vars)

    @torch.no_grad()
    def predict(self, data_samples: Sequence[Any]) -> list[Any]:
        """Write ``caption_log_probs``, the list of the tokens' log-probabilities, into the data samples."""
        tokens = self.tokenize(data_samples)
        rows = self.log_probs(tokens).tolist()
        lengths = (tokens.attention_mask.sum(dim=1) - 1).tolist()
        for sample, row, length in zip(data_samples, rows, lengths, strict=True):
            sample.set_field(row[:length], "caption_log_probs", dtype=None)
        return list(data_samples)
