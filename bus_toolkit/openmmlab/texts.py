"""Texts of mmpretrain's data samples, encoded by what a model already has: no text encoder is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from bus_toolkit.errors import DataError
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.structures import TextTokens


def sample_texts(data_samples: Sequence[Any] | None, key: str, model: nn.Module) -> list[str]:
    """Return the text that each data sample has as ``key``.

    Raises:
        DataError: No data samples, or one without it.
    """
    name = type(model).__name__
    if not data_samples:
        raise DataError(f"data_samples: {name} selects patches by their {key!r}, got none. Give one for each image.")
    texts = []
    for index, sample in enumerate(data_samples):
        text = sample.get(key)
        if not isinstance(text, str):
            raise DataError(
                f"data_samples.{index}: {name} selects patches by {key!r}, one text, got {text!r}. Let the data set "
                f"read it, and name it in algorithm_keys or meta_keys of PackInputs."
            )
        texts.append(text)
    return texts


def bert_texts(bert: Any, tokenizer: Any, texts: Sequence[str], **settings: Any) -> TextTokens:
    """Encode texts by a BERT of mmpretrain in its text mode, without images; the first token, [CLS], is the text's.

    Args:
        bert: ``XBertEncoder`` or ``BertModel``.
        tokenizer: A tokenizer of Hugging Face.
        texts: B texts.
        **settings: For the tokenizer, e.g. ``max_length``.
    """
    length = min(settings.pop("max_length", bert.config.max_position_embeddings), bert.config.max_position_embeddings)
    tokens = tokenizer(list(texts), padding="longest", truncation=True, max_length=length, return_tensors="pt")
    return bert_states(bert, *(to_device(tokens[key], bert.device) for key in ("input_ids", "attention_mask")))


def bert_states(bert: Any, input_ids: Any, attention_mask: Any) -> TextTokens:
    """As ``bert_texts``, for token ids (B, L) and their mask."""
    # Positional arguments alone would do for activation checkpointing, but mmpretrain's own calls do not keep to that.
    output = bert(input_ids, attention_mask=attention_mask, return_dict=True, mode="text")
    states = output.last_hidden_state
    return TextTokens(states, states[:, 0], attention_mask.bool())


def embedded_texts(embedding: nn.Embedding, tokenizer: Any, texts: Sequence[str]) -> TextTokens:
    """Return the input embeddings of a language model; their mean is the text's vector.

    A decoder has no state of a whole text before it has read the image. That the mean is used for the text is our
    choice: it knows the words and not their order.
    """
    device = embedding.weight.device
    side, tokenizer.padding_side = tokenizer.padding_side, "right"
    try:
        tokens = tokenizer(list(texts), padding="longest", return_tensors="pt")
    finally:
        tokenizer.padding_side = side
    mask = to_device(tokens.attention_mask, device)
    embeds = embedding(to_device(tokens.input_ids, device))  # (B, L, D)
    weights = mask.unsqueeze(-1).to(embeds.dtype)
    return TextTokens(embeds, (embeds * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1), mask.bool())
