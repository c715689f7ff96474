"""A BERT text encoder, from numbers or from a local folder of weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import BertConfig, BertModel

from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import TextTokens, TokenBatch
from bus_toolkit.weights.loading import load_pretrained


def bert_config(
    folder: str | None,
    *,
    where: str,
    vocab_size: int,
    pad_token_id: int,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    max_text_length: int,
    dropout: float,
) -> BertConfig:
    """Return the configuration of a BERT stack, from ``folder`` or put together from numbers; never from a network.

    Raises:
        ComponentError: ``folder`` is not a folder with a ``config.json``, or its vocabulary is not the tokenizer's.
    """
    if folder is None:
        return BertConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            intermediate_size=4 * hidden_size,
            max_position_embeddings=max_text_length,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            pad_token_id=pad_token_id,
        )
    if not (Path(folder) / "config.json").is_file():
        raise ComponentError(
            f"{where}.folder: {folder!r} holds no config.json. Weights are read from a local folder in Hugging Face's "
            "layout and never downloaded. Give such a folder, or drop the key to start from random weights."
        )
    config = BertConfig.from_pretrained(folder, local_files_only=True)
    if config.vocab_size != vocab_size:
        raise ComponentError(
            f"{where}.folder: its vocabulary has {config.vocab_size} entries, the tokenizer {vocab_size}. "
            "Both must be the same vocabulary. Use the tokenizer that belongs to these weights."
        )
    if num_layers > config.num_hidden_layers or max_text_length > config.max_position_embeddings:
        raise ComponentError(
            f"{where}.folder: it has {config.num_hidden_layers} layers and {config.max_position_embeddings} positions, "
            f"got num_layers {num_layers} and max_text_length {max_text_length}. Ask for no more than the folder has."
        )
    config.num_hidden_layers = num_layers
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    return config


class BertTextEncoder(nn.Module):
    """Encode text with the first layers of a BERT (ALBEF uses 6 of 12). Goes into ``model.text_encoder``.

    Args:
        vocab_size: Entries of the vocabulary; filled in from the tokenizer.
        pad_token_id: Id of the padding; filled in from the tokenizer.
        num_layers: Depth; with ``folder`` the first so many layers of it.
        hidden_size: Width D; with ``folder`` the folder decides.
        num_heads: Attention heads; with ``folder`` the folder decides.
        max_text_length: Number of positions; with ``folder`` at most as many as it has.
        dropout: Dropout probability.
        folder: Local folder in Hugging Face's layout (``config.json`` and weights), loaded at once; ``None`` starts at
            random. For weights that come in when a training starts, use the key ``pretrained`` beside the arguments.

    Raises:
        ComponentError: The folder cannot be used.
        CheckpointError: Its weights cannot be read safely or do not fit.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        pad_token_id: int,
        num_layers: int = 6,
        hidden_size: int = 768,
        num_heads: int = 12,
        max_text_length: int = 512,
        dropout: float = 0.0,
        folder: str | None = None,
    ) -> None:
        super().__init__()
        config = bert_config(
            folder,
            where="model.text_encoder",
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            max_text_length=max_text_length,
            dropout=dropout,
        )
        config._attn_implementation = "sdpa"
        self.bert = BertModel(config, add_pooling_layer=False)
        if folder is not None:
            load_pretrained(self, folder, part="model.text_encoder.folder", layout="hf-bert")
        self.embed_dim: int = config.hidden_size
        self.max_text_length: int = config.max_position_embeddings

    def forward(self, tokens: TokenBatch) -> TextTokens:
        """Encode ids (B, L) into embeds (B, L, D) and the pooled [CLS] (B, D); padding never changes them."""
        # With a mask of two dimensions transformers looks whether all is attended, which stops the device in each pass.
        mask = tokens.attention_mask.unsqueeze(1).expand(-1, tokens.input_ids.shape[1], -1)
        embeds = self.bert(input_ids=tokens.input_ids, attention_mask=mask.long()).last_hidden_state
        return TextTokens(embeds, embeds[:, 0], tokens.attention_mask)
