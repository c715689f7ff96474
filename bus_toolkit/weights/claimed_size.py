"""Whether what a checkpoint claims to hold is in proportion to its file: 1.5 MB of zip can unpack to gigabytes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.errors import CheckpointError
from bus_toolkit.limits import ARCHIVE_RATIO

# Below so many bytes nothing is out of proportion: a small file may hold one number, seen as a row of thousands.
_ALWAYS = 64 << 20


def refuse_large_archive(path: Path) -> list[str]:
    """Compare the sizes in the directory of a zip file with the file itself, before anything of it is unpacked.

    torch stores without compression, so that a file of its own never unpacks to more than itself.

    Returns:
        The names of its entries; none if it is no zip file.

    Raises:
        CheckpointError: They are more than ``ARCHIVE_RATIO`` times the file, or overlap.
    """
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    _refuse(path, sum(entry.file_size for entry in entries))
    if sum(entry.compress_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path}: not a readable checkpoint (the entries of its archive overlap). Use another.")
    return [entry.filename for entry in entries]


def refuse_large_tensors(checkpoint: Any, path: Path) -> None:
    """Refuse tensors that show few stored numbers as many: a copy of them would take the memory.

    Raises:
        CheckpointError: All together have more than ``ARCHIVE_RATIO`` times the bytes of the file.
    """
    _refuse(path, sum(tensor.numel() * tensor.element_size() for tensor in _tensors(checkpoint)))


def _refuse(path: Path, claimed: int) -> None:
    most = max(_ALWAYS, ARCHIVE_RATIO.value * path.stat().st_size)
    if claimed > most:
        raise CheckpointError(
            f"{path}: not loaded, because its {path.stat().st_size} bytes claim to hold {claimed}; allowed are {most} "
            f"for a file of this size. {ARCHIVE_RATIO.advice}"
        )


def _tensors(value: Any) -> list[torch.Tensor]:
    """Return the tensors in nested containers, each container once: one that is in itself has no end."""
    found, waiting, seen = [], [value], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, dict | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, dict) else item
    return found
