"""Read the tensors of a checkpoint file, or of a folder in Hugging Face's layout, without running code in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from bus_toolkit.addresses import is_http
from bus_toolkit.errors import CheckpointError
from bus_toolkit.home import expand_home
from bus_toolkit.weights.downloading import local_copy
from bus_toolkit.weights.files import load_checkpoint_file, tensors_in
from bus_toolkit.weights.folders import read_folder

# Under which key training scripts keep the weights: MMEngine, ALBEF/BLIP/mPLUG/MAE/DeiT, DeepSpeed, DINO, and averages.
_WRAPPERS = ("state_dict", "model", "module", "model_state_dict", "teacher", "state_dict_ema", "model_ema", "ema")
# Prefixes that DistributedDataParallel and torch.compile put before every name.
_LAYERS_AROUND = ("module.", "_orig_mod.")
_trusted = False


@dataclass(frozen=True)
class Source:
    """Tensors from elsewhere.

    Attributes:
        path: The file or folder, for messages.
        tensors: The tensors by the names they were saved under.
        config: The contents of the folder's ``config.json``; empty without one.
    """

    path: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)


def trust_checkpoints(trusted: bool) -> None:
    """Set whether this process unpickles everything by default; ``trusted_checkpoints`` of a config."""
    global _trusted
    _trusted = trusted


def read_tensors(path: str | Path, trusted: bool | None = None) -> Source:
    """Return the tensors of a checkpoint file or of a folder in Hugging Face's layout.

    Wrappers are taken off: a dict around the weights (``state_dict``, ``model``, ``module``, ...) and ``module.``
    before every name. A folder may hold one file or shards with an index, safetensors or ``.bin``.

    Args:
        path: A file or folder on this machine, or an http(s) address of a file.
        trusted: Unpickle everything; ``None`` uses the setting of :func:`trust_checkpoints` (at first: no).

    Raises:
        CheckpointError: Nothing is there, it is torn, it holds more than data, or it holds no tensors.
    """
    path = local_path(path)
    trusted = _trusted if trusted is None else trusted
    if path.is_dir():
        tensors, config = read_folder(path, trusted=trusted)
    else:
        tensors, config = _unwrapped(load_checkpoint_file(path, trusted=trusted)), {}
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors by name. Give a file or folder of weights.")
    return Source(str(path), tensors, config)


def local_path(path: str | Path) -> Path:
    """Return the path of a checkpoint on this machine; what lies under an http(s) address is copied first.

    Raises:
        CheckpointError: Another kind of address, or a file that cannot be downloaded.
    """
    if is_http(path):
        return local_copy(str(path))
    if "://" in str(path):
        raise CheckpointError(
            f"{path}: this kind of address is not supported. Allowed: a path, http:// or https://. Download the file "
            "yourself."
        )
    return expand_home(path)


def read_weights(path: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, whether they lie under ``state_dict`` or at the top.

    Raises:
        CheckpointError: As :func:`load_checkpoint_file`.
    """
    checkpoint = load_checkpoint_file(local_path(path), trusted=_trusted)
    return tensors_in(checkpoint.get("state_dict", checkpoint))


def _unwrapped(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors inside the dicts that training scripts put around them."""
    held: Mapping[str, Any] = checkpoint
    while inner := next((held[k] for k in _WRAPPERS if isinstance(held.get(k), Mapping) and held[k]), None):
        held = inner
    tensors = tensors_in(held)
    for around in _LAYERS_AROUND:
        if tensors and all(name.startswith(around) for name in tensors):
            tensors = {name.removeprefix(around): value for name, value in tensors.items()}
    return tensors
