"""The weights of a saved model: one safetensors file with what a model of that config has, nothing of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.models.build import build_model
from bus_toolkit.weights.header_sections import header_of
from bus_toolkit.weights.words import words_of


def write_weights(model: nn.Module, config: Mapping[str, Any], file: Path) -> None:
    """Write the weights of a model that the config builds without its training; types stay as they are.

    Tensors that share memory, such as embeddings that a head uses too, are written once for each of their names:
    safetensors holds no links.

    Args:
        model: The trained model.
        config: As ``predicting_config`` gives it, with paths that can be read.
        file: The ``.safetensors``.

    Raises:
        CheckpointError: The config builds a model with tensors that the trained one does not have.
    """
    trained: Any = model.state_dict()
    wanted = build_model(config["model"]).state_dict()
    # Of a queue only the places are left out: a buffer without rows is there for it.
    tensors = {name: trained.get(name) if own.numel() else own for name, own in wanted.items()}
    missing = [name for name, tensor in tensors.items() if tensor is None or tensor.shape != wanted[name].shape]
    if missing:
        raise CheckpointError(
            f"save_pretrained: without what only training needs, the model has other tensors than the trained one, the "
            f"first: {missing[0]}. Its heads cannot be taken apart from the momentum branch: share the run folder."
        )
    progress = {"epoch": float(getattr(model, "epoch", 0.0)), "iteration": int(getattr(model, "iteration", 0))}
    header = header_of(progress, words_of(getattr(model, "tokenizer", None)), getattr(trained, "_metadata", {}))
    # As bytes: a file that safetensors makes itself can be read by its owner alone.
    file.write_bytes(save({name: _own(tensor) for name, tensor in tensors.items()}, metadata=header))


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()
