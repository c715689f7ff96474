"""Read a checkpoint file without running code in it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from safetensors import SafetensorError
from safetensors.torch import load_file as load_safetensors

from bus_toolkit.errors import CheckpointError


def load_checkpoint_file(path: str | Path, map_location: Any = "cpu", *, trusted: bool = False) -> dict[str, Any]:
    """Return what a ``.pth`` or ``.safetensors`` file holds, without running any code in it.

    Args:
        path: A file on this machine.
        map_location: As in ``torch.load``.
        trusted: Unpickle everything. Only for files whose maker you trust: such a file can run any code.

    Returns:
        The checkpoint; weights from safetensors lie under ``state_dict``.

    Raises:
        CheckpointError: The file is missing, torn, or holds objects that are not data.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. Give the path of a .pth or .safetensors file.")
    if path.suffix == ".safetensors":
        return {"state_dict": _read_safetensors(path, map_location), "meta": {}}
    if not _starts_like_a_checkpoint(path):
        raise CheckpointError(f"{path}: not a checkpoint. Give the path of a .pth or .safetensors file.")
    try:
        with torch.serialization.safe_globals(_safe_globals()):
            checkpoint = torch.load(path, map_location=map_location, weights_only=not trusted)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({_first_sentence(error)}). It may be torn: use another."
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f"{path}: not a checkpoint, got a {type(checkpoint).__name__}. It must hold a dict of weights."
        )
    if not trusted and isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)  # Runner.resume would execute it as Python
    return checkpoint


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, whether they lie under ``state_dict`` or at the top.

    Raises:
        CheckpointError: As :func:`load_checkpoint_file`.
    """
    checkpoint = load_checkpoint_file(path)
    weights = checkpoint.get("state_dict", checkpoint)
    return {name: value for name, value in weights.items() if torch.is_tensor(value)}


def _starts_like_a_checkpoint(path: Path) -> bool:
    """Return whether the file opens as torch writes them: a zip archive, or a pickle of protocol 2 or later."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"PK\x03\x04", b"\x80"))


def _read_safetensors(path: Path, map_location: Any) -> dict[str, torch.Tensor]:
    try:
        return load_safetensors(path, device=str(map_location or "cpu"))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({_first_line(error)}).") from error


def _safe_globals() -> list[Any]:
    """Return the classes and functions that the log history inside an MMEngine checkpoint needs."""
    core = np._core if hasattr(np, "_core") else np.core
    dtypes = {
        type(np.dtype(kind)) for kind in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    }
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        *dtypes,
        (_history_method, "builtins.getattr"),
    ]


def _history_method(owner: object, name: str) -> Any:
    """Stand in for ``getattr``, by which a history refers to its own statistics; give nothing else away."""
    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"Unsupported global: GLOBAL builtins.getattr of {name!r}")


def _refusal(path: Path, error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"WeightsUnpickler error: (.+)", str(error))
    what = f"it asks for {found.group(1)}" if found else "it holds more than data, or is no checkpoint of torch"
    return (
        f"{path}: not loaded, because reading it could run code ({what}). Allowed are tensors, numbers, text and "
        "containers of these. Ask for it as .safetensors, or set trusted_checkpoints: true if you trust its maker."
    )


def _first_sentence(error: Exception) -> str:
    return _first_line(error).split(". ")[0].rstrip(".")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
