"""Any causal language model from a local folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from bus_toolkit.structures import TokenBatch


class CausalLMFolder(nn.Module):
    """Predict the next token with a causal language model in Hugging Face's layout; it reads no image.

    Goes where text alone is modelled: ``reference`` of ``PriorLMHead``, ``model.text_decoder`` of
    ``CaptionLanguageModel``. Nothing is downloaded, no code of the folder is run, and an encoder such as BERT is read
    causally.

    Args:
        vocab_size: Entries of the vocabulary; filled in from the tokenizer. The folder must have as many, with the same
            meaning.
        folder: Local folder with ``config.json`` and safetensors weights.

    Attributes:
        reads_memory: Whether ``forward`` takes states.
        is_pretrained: Whether it brings weights that were trained.

    Raises:
        ValueError: The folder cannot be used, has another vocabulary, or has no weights for a part of the model, such
            as the head of a model that was saved without it.
    """

    reads_memory = False
    is_pretrained = True

    def __init__(self, *, vocab_size: int, folder: str) -> None:
        super().__init__()
        if not (Path(folder) / "config.json").is_file():
            raise ValueError(f"folder: {folder!r} holds no config.json. Give a local folder in Hugging Face's layout.")
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(folder, **local)
            config.is_decoder = True
            if config.vocab_size != vocab_size:
                raise ValueError(
                    f"its vocabulary has {config.vocab_size} entries, the tokenizer {vocab_size}. Both must be the "
                    "same vocabulary. Use the tokenizer that belongs to these weights."
                )
            self.model, loading = AutoModelForCausalLM.from_pretrained(
                folder, config=config, use_safetensors=True, output_loading_info=True, **local
            )
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"folder: {folder!r} cannot be used: {' '.join(str(error).split())[:400]}") from error
        _refuse_missing(folder, type(self.model).__name__, loading["missing_keys"])
        self.max_text_length: int | None = getattr(config, "max_position_embeddings", None)

    def forward(self, tokens: TokenBatch, memory: Tensor | None = None, memory_mask: Tensor | None = None) -> Tensor:
        """Return logits (B, L, V) of the token after each position; there are no states to read."""
        assert memory is None, "the model builder checks which decoders read states"
        return self.model(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask.long(), use_cache=False
        ).logits


def _refuse_missing(folder: str, model: str, missing: Collection[str]) -> None:
    """Refuse a folder without some of the weights: transformers would leave them random, with a warning."""
    if missing:
        first = ", ".join(sorted(missing)[:3])
        raise ValueError(
            f"folder: {len(missing)} tensors of a {model} are not in {folder!r}, the first: {first}. All weights must "
            "be there. Save the whole model with its language-model head, and all layers that config.json names."
        )
