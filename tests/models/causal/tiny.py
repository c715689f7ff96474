"""Small models with a causal language model, and a batch for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bus_toolkit.models.causal.build import build_causal_vlm
from bus_toolkit.models.causal.vlm import CausalVLM
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import tiny_batch

LANGUAGE_MODEL = {
    "type": "CausalLM",
    "hidden_size": 16,
    "num_layers": 3,
    "num_heads": 2,
    "max_text_length": 96,
    "initializer_range": 0.25,
}
PARTS: dict[str, Any] = {
    "tokenizer": {"type": "CorpusTokenizer", "max_length": 16},
    "backbone": tiny.VISION_TRANSFORMER,
    "language_model": LANGUAGE_MODEL,
    "tasks": {"answer": {"kind": "answer"}},
    "writing": {"max_new_tokens": 4},
}
TSPS = {"type": "TSPS", "blocks": [1], "keep_ratio": 0.5, "fuse": "normalized"}


def model(**parts: Any) -> CausalVLM:
    """Return a model in evaluation mode; ``parts`` (nodes as in a YAML) replace those of ``PARTS``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_causal_vlm(**{**PARTS, **parts}).eval()


def batch() -> tuple[Tensor, list[Any]]:
    """Return three images and samples with captions, answers and boxes."""
    return tiny_batch()
