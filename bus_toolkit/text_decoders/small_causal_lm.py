"""A causal language model with random weights, of any size."""

from __future__ import annotations

from transformers import LlamaConfig, LlamaForCausalLM

from bus_toolkit.text_decoders.causal_base import CausalLanguageModel


class CausalLM(CausalLanguageModel):
    """Build a Llama (``transformers.LlamaForCausalLM``, arXiv 2302.13971) with random weights.

    Norms before each half of a layer, rotary positions, a gated feed-forward part; input and output embeddings apart.
    For toys, and for what is to be trained from nothing; ``CausalLMFolder`` brings trained weights.

    Args:
        vocab_size: Entries of the vocabulary; filled in from the tokenizer.
        pad_token_id: Id of padding, whose embedding stays zero; filled in from the tokenizer.
        hidden_size: Width.
        num_layers: Depth.
        num_heads: Attention heads; they share the width evenly, an even number each.
        num_key_value_heads: Heads of keys and values, which groups of heads share; ``None`` for as many as heads.
        mlp_ratio: Width of the feed-forward part as a multiple of the hidden size. Llama has 8 / 3.
        max_text_length: Positions, visual tokens included.
        initializer_range: Standard deviation of the weights to begin with.

    Raises:
        ValueError: A number out of range, or heads that do not share the width evenly.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        pad_token_id: int,
        hidden_size: int = 256,
        num_layers: int = 4,
        num_heads: int = 4,
        num_key_value_heads: int | None = None,
        mlp_ratio: float = 8 / 3,
        max_text_length: int = 1024,
        initializer_range: float = 0.02,
    ) -> None:
        groups = num_key_value_heads or num_heads
        sizes: dict[str, float] = {"hidden_size": hidden_size, "num_layers": num_layers, "num_heads": num_heads}
        sizes |= {"num_key_value_heads": groups, "max_text_length": max_text_length, "mlp_ratio": mlp_ratio}
        for name, size in sizes.items():
            if not size > 0:
                raise ValueError(f"{name}: must be above 0, got {size}.")
        # Rotary positions turn pairs of numbers of a head.
        if hidden_size % (2 * num_heads) or num_heads % groups:
            raise ValueError(
                f"num_heads: must share hidden_size ({hidden_size}) in even numbers and be a multiple of "
                f"num_key_value_heads ({groups}), got {num_heads}."
            )
        config = LlamaConfig(
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            hidden_size=hidden_size,
            intermediate_size=round(mlp_ratio * hidden_size),
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            num_key_value_heads=groups,
            max_position_embeddings=max_text_length,
            initializer_range=initializer_range,
            # Those of the tokenizer are given to each search; the class's own mean Llama's vocabulary.
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="sdpa",
        )
        super().__init__(LlamaForCausalLM(config))
