"""A vision-language model with fewer visual tokens that answers conversations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.config.reduction_file import read_reduction
from bus_toolkit.engine.device import find_device
from bus_toolkit.errors import ConfigError
from bus_toolkit.huggingface.loading import Dtype, load_model, load_processor
from bus_toolkit.huggingface.reduction import Reduction, reduce_tokens

Conversation = Sequence[Mapping[str, Any]]
"""Messages as templates of transformers take them: ``{"role": ..., "content": [{"type": "text", "text": ...}, ...]}``,
images and videos under ``image`` and ``video``."""


@dataclass(frozen=True)
class ReducedModel:
    """A model and its processor.

    Attributes:
        model: A vision-language model of transformers.
        processor: Its processor.
        reduction: What ``reduce_tokens`` put into it; ``None`` for the model as it is.
    """

    model: Any
    processor: Any
    reduction: Reduction | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @torch.no_grad()
    def answers(self, conversations: Sequence[Conversation], **generation: Any) -> list[str]:
        """Return the next message of each conversation.

        Args:
            conversations: One or more, run as one batch.
            **generation: Arguments of ``generate``, such as ``max_new_tokens``.
        """
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"  # new tokens follow the prompts
        if tokenizer.pad_token is None:  # Llama's has none; what is padding, no token reads
            tokenizer.pad_token = tokenizer.eos_token
        inputs = self.processor.apply_chat_template(
            list(conversations),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        ).to(self.device, self.model.dtype)
        settings = {"pad_token_id": tokenizer.pad_token_id, **generation}
        tokens = self.model.generate(**inputs, **settings)[:, inputs["input_ids"].shape[1] :]
        return self.processor.batch_decode(tokens, skip_special_tokens=True)


def load_reduced(
    folder: str | None,
    reduction: str | Path | Mapping[str, Any] | None = None,
    *,
    device: str | None = None,
    dtype: Dtype = "bfloat16",
) -> ReducedModel:
    """Load a model with its processor and put selectors into it.

    Args:
        folder: Local folder in Hugging Face's layout; ``None`` is refused.
        reduction: A YAML file of arguments of ``reduce_tokens``, or what it holds; ``None`` for the model as it is.
        device: As torch writes it. ``cuda`` is the GPU of this process, where a launcher started several.
        dtype: Of the weights.

    Raises:
        ConfigError: No folder.
        BusError: The folder or the reduction cannot be used.
    """
    if folder is None:
        raise ConfigError(
            "folder: a model is needed, got none. Write --model_args folder=FOLDER for lmms-eval, or give folder= or "
            "reduced= in Python."
        )
    rank = os.environ.get("LOCAL_RANK")
    where = find_device(f"cuda:{rank}" if device == "cuda" and rank else device)
    model = load_model(folder=folder, dtype=dtype).to(where)
    reduced = None if reduction is None else reduce_tokens(model, **read_reduction(reduction))
    return ReducedModel(model, load_processor(folder), reduced)
