"""A causal BERT decoder that reads the image (and a prefix of text) by cross-attention."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import BertLMHeadModel

from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.cache import ARGUMENT, TextCache
from bus_toolkit.text_encoders.bert import BertShape
from bus_toolkit.text_encoders.masks import mask_for_layers, square_mask


class BertTextDecoder(nn.Module):
    """Predict the next token from the tokens so far and the visual states. Goes into ``model.text_decoder``.

    The layers are BERT's with causal self-attention and cross-attention, as in mPLUG and BLIP
    (X-PLUG/mPLUG:models/modeling_mplug.py). Without cross-attention it is a language model that sees no image, as
    ``PriorLMHead`` and ``CaptionLanguageModel`` want it.

    Args:
        vocab_size: Entries of the vocabulary; filled in from the tokenizer.
        pad_token_id: Id of the padding; filled in from the tokenizer.
        text_dim: Width of the states that it reads and of its own; filled in from the text encoder.
        num_layers: Depth.
        num_heads: Attention heads.
        max_text_length: Number of positions.
        dropout: Dropout probability.
        cross_attention: Read states; ``false`` for a model of text alone.
        initializer_range: Standard deviation of random weights; BERT's 0.02 is meant for width 768.

    Attributes:
        reads_memory: Whether ``forward`` takes states.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        pad_token_id: int,
        text_dim: int,
        num_layers: int = 12,
        num_heads: int = 12,
        max_text_length: int = 512,
        dropout: float = 0.0,
        cross_attention: bool = True,
        initializer_range: float = 0.02,
    ) -> None:
        super().__init__()
        config = BertShape(
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            hidden_size=text_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            max_text_length=max_text_length,
            dropout=dropout,
            initializer_range=initializer_range,
        ).config()
        config.update({"is_decoder": True, "add_cross_attention": cross_attention, "use_cache": False})
        self.bert = BertLMHeadModel(config)
        self.max_text_length = max_text_length
        self.reads_memory = cross_attention

    def new_cache(self) -> TextCache | None:
        """Return an empty cache for ``forward``; ``None`` with a version of transformers whose BERT takes none."""
        return None if ARGUMENT is None else TextCache()

    def forward(
        self,
        tokens: TokenBatch,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: TextCache | None = None,
    ) -> Tensor:
        """Return logits (B, L, V) of the token after each position.

        Args:
            tokens: The text, causally masked inside.
            memory: States (B, M, D) to read; none without cross-attention.
            memory_mask: bool (B, M), True = may be read; all when not given.
            cache: Holds the first C tokens, and the states from the first pass on; the logits are then (B, L - C, V),
                those of the other tokens, which it holds from now on.
        """
        assert (memory is not None) == self.reads_memory, "the model builder checks which decoders read states"
        held = 0 if cache is None else cache.length
        length = tokens.input_ids.shape[1] - held
        if memory is not None and memory_mask is None:
            memory_mask = tokens.attention_mask.new_ones(memory.shape[:2])
        if memory_mask is not None:
            memory_mask = memory_mask.unsqueeze(1).expand(-1, length, -1)  # (B, M) -> (B, L, M)
            memory_mask = mask_for_layers(memory_mask, self.bert.dtype)
        # transformers adds the causal part to a mask of two dimensions only.
        own = square_mask(tokens.attention_mask).tril()[:, held:]
        return self.bert(
            input_ids=tokens.input_ids[:, held:],
            attention_mask=mask_for_layers(own, self.bert.dtype),
            encoder_hidden_states=memory,
            encoder_attention_mask=memory_mask,
            **({} if cache is None or ARGUMENT is None else {ARGUMENT: cache.states}),
        ).logits
