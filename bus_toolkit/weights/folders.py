"""Read a folder of weights in Hugging Face's layout: one file, or shards with an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bus_toolkit.errors import CheckpointError
from bus_toolkit.json_text import load_json
from bus_toolkit.weights.files import load_checkpoint_file, tensors_in

# In the order of the search: formats that cannot hold code come first.
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_INDEX = "{}.index.json"


def read_folder(folder: Path, *, trusted: bool) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Return the tensors of ``folder`` by name and its ``config.json``.

    Raises:
        CheckpointError: It holds no weights, or a shard of the index is missing or has no tensor.
    """
    folder = _transformer_of(folder)
    config = _read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    for name in _WHOLE:
        if (folder / name).is_file():
            held = load_checkpoint_file(folder / name, trusted=trusted)
            return tensors_in(held.get("state_dict", held)), config
        index = folder / _INDEX.format(name)
        if index.is_file():
            return _read_shards(index, trusted=trusted), config
    raise CheckpointError(
        f"{folder}: holds no weights. Allowed are {' or '.join(_WHOLE)}, whole or in shards with an index. Give the "
        "folder that has one of them."
    )


def has_weights(folder: Path) -> bool:
    """Return whether :func:`read_folder` would find a file to read."""
    folder = _transformer_of(folder)
    return any((folder / n).is_file() or (folder / _INDEX.format(n)).is_file() for n in _WHOLE)


def _transformer_of(folder: Path) -> Path:
    """Return the folder of the transformer: sentence-transformers may keep it in a folder of its own."""
    inner = folder / "0_Transformer"
    return inner if inner.is_dir() and not (folder / "config.json").is_file() else folder


def _read_shards(index: Path, *, trusted: bool) -> dict[str, Tensor]:
    listed = _read_json(index).get("weight_map")
    if not isinstance(listed, Mapping) or not all(isinstance(file, str) for file in listed.values()):
        raise CheckpointError(f"{index}: weight_map must name a file for each tensor, got {type(listed).__name__}.")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(listed.values())):
        if Path(file).name != file:
            raise CheckpointError(f"{index}: a shard lies beside its index, got {file!r}. Do not use this folder.")
        held = load_checkpoint_file(index.parent / file, trusted=trusted)
        tensors.update(tensors_in(held.get("state_dict", held)))
    missing = [name for name in listed if name not in tensors]
    if missing:
        raise CheckpointError(
            f"{index}: {len(missing)} of its {len(listed)} tensors are in no shard, the first: {missing[0]}. "
            "Copy the folder again."
        )
    return tensors


def _read_json(path: Path) -> dict[str, Any]:
    try:
        held = load_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable JSON file ({error}). Copy the folder again.") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{path}: must hold a JSON object, got a {type(held).__name__}. Copy the folder again.")
    return held
