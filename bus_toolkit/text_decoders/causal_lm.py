"""Any causal language model from a local folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM

from bus_toolkit.text_decoders.causal_base import CausalLanguageModel


class CausalLMFolder(CausalLanguageModel):
    """A causal language model with trained weights, in Hugging Face's layout.

    Nothing is downloaded, no code of the folder is run, and an encoder such as BERT is read causally.

    Args:
        vocab_size: Entries of the vocabulary; filled in from the tokenizer. The folder must have as many, with the same
            meaning.
        folder: Local folder with ``config.json`` and safetensors weights.

    Raises:
        ValueError: The folder cannot be used, has another vocabulary, or has no weights for a part of the model, such
            as the head of a model that was saved without it.
    """

    is_pretrained = True

    def __init__(self, *, vocab_size: int, folder: str) -> None:
        if not (Path(folder) / "config.json").is_file():
            raise ValueError(f"folder: {folder!r} holds no config.json. Give a local folder in Hugging Face's layout.")
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(folder, **local)
            if not hasattr(config, "vocab_size"):
                raise ValueError(
                    f"its config.json is of a {config.model_type}, which is no language model alone. Name the "
                    "folder of one, such as a Llama or a Qwen2."
                )
            config.is_decoder = True
            if config.vocab_size != vocab_size:
                raise ValueError(
                    f"its vocabulary has {config.vocab_size} entries, the tokenizer {vocab_size}. Both must be the "
                    "same vocabulary. Use the tokenizer that belongs to these weights."
                )
            model, loading = AutoModelForCausalLM.from_pretrained(
                folder, config=config, use_safetensors=True, output_loading_info=True, **local
            )
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"folder: {folder!r} cannot be used: {' '.join(str(error).split())[:400]}") from error
        _refuse_missing(folder, type(model).__name__, loading["missing_keys"])
        super().__init__(model)


def _refuse_missing(folder: str, model: str, missing: Collection[str]) -> None:
    """Refuse a folder without some of the weights: transformers would leave them random, with a warning."""
    if missing:
        first = ", ".join(sorted(missing)[:3])
        raise ValueError(
            f"folder: {len(missing)} tensors of a {model} are not in {folder!r}, the first: {first}. All weights must "
            "be there. Save the whole model with its language-model head, and all layers that config.json names."
        )
