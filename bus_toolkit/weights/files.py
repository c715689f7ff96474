"""Read one checkpoint file without running code in it."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file as load_safetensors
from torch import Tensor

from bus_toolkit.errors import BusError, CheckpointError
from bus_toolkit.home import expand_home
from bus_toolkit.ops.position_table import GRID_KEY, Grid
from bus_toolkit.weights.checksums import check_records
from bus_toolkit.weights.claimed_size import refuse_large_archive, refuse_large_tensors
from bus_toolkit.weights.header_sections import sections_in
from bus_toolkit.weights.safe_pickle import first_line, first_sentence, refusal, safe_globals
from bus_toolkit.weights.shard_files import put_back


def load_checkpoint_file(path: str | Path, map_location: Any = "cpu", *, trusted: bool = False) -> dict[str, Any]:
    """Return the contents of a ``.pth`` or ``.safetensors`` file, without running any code in it.

    Args:
        path: A file on this machine.
        map_location: As in ``torch.load``.
        trusted: Unpickle everything. Only for files whose maker you trust: such a file can run any code.

    Returns:
        The checkpoint; weights from safetensors and TorchScript archives lie under ``state_dict``.

    Raises:
        CheckpointError: The file is missing, torn, damaged, claims too many bytes, or has objects that are not data.
    """
    path = expand_home(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. Give the path of a .pth or .safetensors file.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, map_location)
    try:
        checkpoint = _read_torch(path, map_location, trusted=trusted)
    except BusError:  # also a limit in the environment that is none: the file is not to blame
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(refusal(path, error)) from error
    except PermissionError as error:
        raise CheckpointError(unreadable(path, error)) from error
    except Exception as error:  # damaged bytes make pickle, zipfile and torch raise nearly anything
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({first_sentence(error)}). It may be torn: use another."
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f"{path}: not a checkpoint, got a {type(checkpoint).__name__}. It must hold a dict of weights."
        )
    put_back(checkpoint, path, map_location)
    if not trusted and isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)  # Runner.resume would execute it as Python
    return checkpoint


def unreadable(path: Path, error: OSError) -> str:
    """Return the message about a checkpoint whose bytes cannot be had."""
    return f"{path}: cannot be read: {error.strerror}. Ask its owner for the right to read it, or use a copy."


def _read_torch(path: Path, map_location: Any, *, trusted: bool) -> Any:
    if not path.stat().st_size:
        raise CheckpointError(f"{path}: not a checkpoint, got an empty file (0 bytes). Use another, or another copy.")
    if not _starts_like_a_checkpoint(path):
        raise CheckpointError(f"{path}: not a checkpoint. Give the path of a .pth or .safetensors file.")
    names = refuse_large_archive(path)
    check_records(path)
    if any(name.split("/", 1)[-1] == "constants.pkl" for name in names):
        return {"state_dict": _read_torchscript(path, map_location, trusted=trusted), "meta": {}}
    with torch.serialization.safe_globals(safe_globals()):
        checkpoint = torch.load(path, map_location=map_location, weights_only=not trusted)
    refuse_large_tensors(checkpoint, path)
    return checkpoint


def tensors_in(held: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the entries that are tensors."""
    return {str(name): value for name, value in held.items() if torch.is_tensor(value)}


def _starts_like_a_checkpoint(path: Path) -> bool:
    """Return whether the file opens as torch writes them: a zip archive, or a pickle of protocol 2 or later."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"PK\x03\x04", b"\x80"))


def _read_torchscript(path: Path, map_location: Any, *, trusted: bool) -> dict[str, Tensor]:
    """Read an archive of ``torch.jit.save``, which has its constants beside its data."""
    if not trusted:
        raise CheckpointError(
            f"{path}: not loaded, because it is a TorchScript archive: a program with its weights, as OpenAI's CLIP "
            "files are. Allowed are weights alone. Take the same weights as .safetensors (Hugging Face has them), or "
            "set trusted_checkpoints: true (--trust-checkpoint) if you trust its maker."
        )
    try:
        return dict(torch.jit.load(path, map_location=map_location).state_dict())
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not a readable TorchScript archive ({first_sentence(error)}).") from error


def grid_to_header(grid: Grid | None) -> dict[str, str]:
    """Return the entry of a safetensors header that says of which grid of patches the positions in the file are."""
    return {} if grid is None else {GRID_KEY: f"{grid[0]}x{grid[1]}"}


def _read_safetensors(path: Path, map_location: Any) -> dict[str, Any]:
    try:
        tensors = OrderedDict(load_safetensors(path, device=str(map_location or "cpu")))
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        meta, metadata = sections_in(header)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({first_line(error)}). Use another.") from error
    noted = re.fullmatch(r"(\d{1,4})x(\d{1,4})", header.get(GRID_KEY, ""))
    if noted is not None:
        metadata = {"": {GRID_KEY: (int(noted[1]), int(noted[2]))}}
    if metadata:  # where torch's own files keep it
        tensors._metadata = metadata  # type: ignore[attr-defined]
    return {"state_dict": tensors, "meta": meta}
