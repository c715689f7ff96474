"""A BERT text encoder, from numbers or from a local folder of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from transformers import BertConfig, BertModel

from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import TextTokens, TokenBatch
from bus_toolkit.text_encoders.masks import mask_for_layers, square_mask
from bus_toolkit.weights.loading import load_pretrained


@dataclass(frozen=True, kw_only=True)
class BertShape:
    """The sizes of a BERT stack; see ``BertTextEncoder`` for each of them."""

    vocab_size: int
    pad_token_id: int
    hidden_size: int
    num_layers: int
    num_heads: int
    max_text_length: int
    dropout: float
    initializer_range: float = 0.02
    least_layers: int = 1

    def __post_init__(self) -> None:
        for name, value, least in (
            ("num_layers", self.num_layers, self.least_layers),
            ("num_heads", self.num_heads, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: must be {least} or more, got {value}.")
        if not self.initializer_range > 0.0:
            raise ValueError(f"initializer_range: must be above 0, got {self.initializer_range}.")

    def config(self) -> BertConfig:
        """Return the configuration of a stack with these sizes and random weights."""
        return BertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=4 * self.hidden_size,
            max_position_embeddings=self.max_text_length,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            pad_token_id=self.pad_token_id,
            initializer_range=self.initializer_range,
            attn_implementation="sdpa",
        )

    def config_of_folder(self, folder: str) -> BertConfig:
        """Return the configuration of the first layers of ``folder``, whose width and heads it keeps.

        Raises:
            ComponentError: It has no ``config.json``, another vocabulary, or fewer layers or positions.
        """
        location = "model.text_encoder.folder"
        if not (Path(folder) / "config.json").is_file():
            raise ComponentError(
                f"{location}: {folder!r} holds no config.json. Weights are read from a local folder in Hugging Face's "
                "layout and never downloaded. Give such a folder, or drop the key to start from random weights."
            )
        config = BertConfig.from_pretrained(folder, local_files_only=True, attn_implementation="sdpa")
        if config.vocab_size != self.vocab_size:
            raise ComponentError(
                f"{location}: its vocabulary has {config.vocab_size} entries, the tokenizer {self.vocab_size}. "
                "Both must be the same vocabulary. Use the tokenizer that belongs to these weights."
            )
        if self.num_layers > config.num_hidden_layers or self.max_text_length > config.max_position_embeddings:
            raise ComponentError(
                f"{location}: it has {config.num_hidden_layers} layers and {config.max_position_embeddings} positions, "
                f"got num_layers {self.num_layers} and max_text_length {self.max_text_length}. Ask for no more than "
                "the folder has."
            )
        config.num_hidden_layers = self.num_layers
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = self.dropout
        return config


class BertTextEncoder(nn.Module):
    """Encode text with the first layers of a BERT (ALBEF uses 6 of 12). Goes into ``model.text_encoder``.

    Args:
        vocab_size: Entries of the vocabulary; filled in from the tokenizer.
        pad_token_id: Id of the padding; filled in from the tokenizer.
        num_layers: Depth; with ``folder`` the first so many layers of it. 0 leaves the embeddings of words, positions
            and types, for a single-stream model.
        hidden_size: Width D; with ``folder`` the folder decides.
        num_heads: Attention heads; with ``folder`` the folder decides.
        max_text_length: Number of positions; with ``folder`` at most as many as it has.
        dropout: Dropout probability.
        initializer_range: Standard deviation of random weights; BERT's 0.02 is meant for width 768, and a narrow
            encoder learns far slower with it than with 1 / sqrt(width). With ``folder`` all weights come from there.
        folder: Local folder in Hugging Face's layout (``config.json`` and weights), loaded at once; ``None`` starts at
            random. For weights that come in when a training starts, use the key ``pretrained`` beside the arguments.

    Raises:
        ValueError: ``num_layers`` below 0, ``num_heads`` below 1, or an ``initializer_range`` of 0 or less.
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
        initializer_range: float = 0.02,
        folder: str | None = None,
    ) -> None:
        super().__init__()
        shape = BertShape(
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            max_text_length=max_text_length,
            dropout=dropout,
            initializer_range=initializer_range,
            least_layers=0,
        )
        config = shape.config() if folder is None else shape.config_of_folder(folder)
        self.bert = BertModel(config, add_pooling_layer=False)
        if folder is not None:
            load_pretrained(self, folder, part="model.text_encoder.folder", layout="hf-bert")
        self.num_layers: int = config.num_hidden_layers
        self.embed_dim: int = config.hidden_size
        self.max_text_length: int = config.max_position_embeddings

    def forward(self, tokens: TokenBatch) -> TextTokens:
        """Encode ids (B, L) into embeds (B, L, D) and the pooled [CLS] (B, D); padding never changes them."""
        mask = mask_for_layers(square_mask(tokens.attention_mask), self.bert.dtype)
        embeds = self.bert(input_ids=tokens.input_ids, attention_mask=mask).last_hidden_state  # (B, L, D)
        # [CLS] comes first; BERT's own pooler would be one more layer that ALBEF does not have.
        return TextTokens(embeds, embeds[:, 0], tokens.attention_mask)
