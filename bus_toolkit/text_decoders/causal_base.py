"""What parts share that are a causal language model of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from bus_toolkit.structures import TokenBatch


class CausalLanguageModel(nn.Module):
    """Predict the next token with a causal language model of transformers, which reads no image by itself.

    Goes where text alone is modelled: ``reference`` of ``PriorLMHead``, ``model.text_decoder`` of
    ``CaptionLanguageModel``.

    Args:
        model: A causal language model of transformers, with its head.

    Attributes:
        reads_memory: Whether ``forward`` takes states.
        is_pretrained: Whether it brings weights that were trained.
        waits_for_device: Whether a training step waits for a GPU in it.
        max_text_length: Its positions; ``None`` where it says no number.
    """

    reads_memory: ClassVar[bool] = False
    is_pretrained: ClassVar[bool] = False
    waits_for_device: ClassVar[bool] = True  # transformers asks whether a mask hides anything, once a pass

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.max_text_length: int | None = getattr(model.config, "max_position_embeddings", None)

    def forward(self, tokens: TokenBatch, memory: Tensor | None = None, memory_mask: Tensor | None = None) -> Tensor:
        """Return logits (B, L, V) of the token after each position; there are no states to read."""
        assert memory is None, "the model builder checks which decoders read states"
        return self.model(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask.long(), use_cache=False
        ).logits

    @property
    def decoder(self) -> Any:
        """The language model without its head."""
        return self.model.get_decoder()

    @property
    def hidden_size(self) -> int:
        """Width of its states."""
        return self.model.get_input_embeddings().weight.shape[1]

    @torch.no_grad()
    def write(
        self,
        embeds: Tensor,
        mask: Tensor | None,
        *,
        end_id: int,
        pad_id: int,
        banned_ids: Sequence[int],
        max_new_tokens: int,
        num_beams: int,
    ) -> Tensor:
        """Return how texts go on, int64 (B, L), with padding after their end.

        Args:
            embeds: What they begin with, (B, W, D), padding on the left.
            mask: (B, W), 0 for padding; ``None`` where there is none.
            end_id: What ends a text.
            pad_id: Padding.
            banned_ids: Ids that are never written.
            max_new_tokens: Most tokens, the end included.
            num_beams: Beginnings that are followed at a time; 1 is greedy search.
        """
        settings = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            num_beams=num_beams,
            eos_token_id=end_id,
            pad_token_id=pad_id,
            suppress_tokens=list(banned_ids),
        )
        return self.model.generate(inputs_embeds=embeds, attention_mask=mask, generation_config=settings)
