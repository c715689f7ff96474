"""A checkpoint whose tensors lie in files of their own beside it, a part of each written by each rank.

``iter_100.pth`` holds everything else, and a table of these files: their sizes and checksums, and the tensors' names,
shapes and dtypes. The files are safetensors, which cannot run code, in ``iter_100.shards``, and torch's distributed
checkpoint reads them. The ``.pth`` is written when all of them are on the disk, so that one which is there is whole or
damaged later; its table says which.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.checksums import checksum

TABLE = "shard_files"


def shard_folder(path: str | Path) -> Path:
    """Return the folder of the files that belong to a checkpoint."""
    return Path(path).with_suffix(".shards")


def take_out(sections: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return nested sections with an empty tensor in the place of each, and the tensors by where they were."""
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            tensors[place] = value.detach()
            return torch.empty(0)
        if isinstance(value, Mapping):
            return {name: walk(inner, f"{place}/{name}") for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(walk(inner, f"{place}/{index}") for index, inner in enumerate(value))
        return value

    return {name: walk(section, str(name)) for name, section in sections.items()}, tensors


def put_back(checkpoint: dict[str, Any], path: Path, map_location: Any) -> None:
    """Put the tensors of a checkpoint, read whole, where the empty ones are; one without a table is left as it is.

    Args:
        checkpoint: The contents of the ``.pth``; changed in place.
        path: Where it lies.
        map_location: ``meta`` reads no file; otherwise tensors come to the CPU.

    Raises:
        CheckpointError: A file is missing or damaged, or the table is none.
    """
    table = checkpoint.pop(TABLE, None)
    if table is None:
        return
    tensors = _allocated(table, path, "meta" if str(map_location) == "meta" else "cpu")
    if str(map_location) != "meta":
        _check_files(table["files"], shard_folder(path))
        _read(tensors, shard_folder(path), path)

    def walk(value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            return tensors.get(place, value)
        if isinstance(value, Mapping):
            for name in value:
                value[name] = walk(value[name], f"{place}/{name}")  # type: ignore[index]
            return value
        if isinstance(value, list | tuple):
            return type(value)(walk(inner, f"{place}/{index}") for index, inner in enumerate(value))
        return value

    for name in checkpoint:
        checkpoint[name] = walk(checkpoint[name], str(name))


def _allocated(table: Any, path: Path, device: str) -> dict[str, Tensor]:
    """Return empty tensors of the shapes in the table, which are no larger than the files that hold them.

    Raises:
        CheckpointError: The table is none.
    """
    try:
        held = {str(name): (tuple(map(int, shape)), dtype) for name, (shape, dtype) in table["tensors"].items()}
        claimed = sum(math.prod(shape) * dtype.itemsize for shape, dtype in held.values())
        sizes = [int(size) for size, _ in table["files"].values()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: its table of files cannot be read. Use another checkpoint.") from error
    if claimed > sum(sizes):
        raise CheckpointError(
            f"{path}: claims {claimed} bytes of tensors in files of {sum(sizes)}. Use another checkpoint."
        )
    return {name: torch.empty(shape, dtype=dtype, device=device) for name, (shape, dtype) in held.items()}


def _check_files(files: Mapping[str, Any], folder: Path) -> None:
    """Compare each file with the table.

    Raises:
        CheckpointError: One is missing or another one.
    """
    for name, (size, crc) in files.items():
        file = folder / Path(name).name  # never a path out of the folder
        try:
            found = file.stat().st_size, checksum(file)
        except OSError as error:
            raise CheckpointError(
                f"{file}: cannot be read ({error.strerror}), and {folder.with_suffix('.pth').name} needs it. Copy both "
                "the file and the folder, or use another checkpoint."
            ) from error
        if found != (size, crc):
            raise CheckpointError(
                f"{file}: damaged: its bytes are not those that were written. Use another checkpoint, or another copy "
                "of this one."
            )


def _read(tensors: dict[str, Tensor], folder: Path, path: Path) -> None:
    from torch.distributed.checkpoint import HuggingFaceStorageReader, load
    from torch.distributed.checkpoint.api import CheckpointException

    # A tensor of no elements, such as a queue that is not used, is in no file.
    tensors = {name: tensor for name, tensor in tensors.items() if tensor.numel()}
    reader = HuggingFaceStorageReader(str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a single process, which is meant
            load(tensors, storage_reader=reader, no_dist=True)
    # Whatever the library makes of files that are not what the table says; its own error is no Exception.
    except (Exception, CheckpointException) as error:
        raise CheckpointError(
            f"{path}: its shards cannot be read ({_reason(error)}). Use another checkpoint."
        ) from error


def _reason(error: BaseException) -> str:
    """Return the last line of an error; the library puts whole tracebacks of ranks into its messages."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rstrip(".")[:200]
