"""What parts share that are a causal language model of transformers."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

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
        max_text_length: Its positions; ``None`` where it says no number.
    """

    reads_memory: ClassVar[bool] = False
    is_pretrained: ClassVar[bool] = False

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
