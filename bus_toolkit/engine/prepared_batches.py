"""Texts and boxes of a training's batches, made into tensors by the workers of its data loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.models import VLPModel
from bus_toolkit.step.prepared import prepare_rows
from bus_toolkit.tokenizers import TextTokenizer


def prepare_in_workers(loader: DataLoader, model: nn.Module) -> None:
    """Let a loader tokenize and pad what its batches hold; of other models than ours it stays as it is.

    Args:
        loader: Its ``collate_fn`` is replaced.
        model: A ``VLPModel`` whose tokenizer is one of ours.
    """
    if isinstance(model, VLPModel) and isinstance(model.tokenizer, TextTokenizer):
        loader.collate_fn = PreparingCollate(loader.collate_fn, model.tokenizer)


class PreparingCollate:
    """Collate as another function does, and prepare the rows of the batch.

    Args:
        collate: Makes a batch with ``data_samples``.
        tokenizer: The model's; a worker has a copy.
    """

    def __init__(self, collate: Callable[[list[Any]], Any], tokenizer: TextTokenizer) -> None:
        self.collate, self.tokenizer = collate, tokenizer

    def __call__(self, items: list[Any]) -> Any:  # what the other function makes
        """Return the batch."""
        batch = self.collate(items)
        samples = batch.get("data_samples") if isinstance(batch, dict) else None
        if isinstance(samples, list) and samples and all(hasattr(sample, "set_field") for sample in samples):
            prepare_rows(samples, self.tokenizer)
        return batch
