"""Write the tensors of a spread model as each rank holds them: no rank has more in memory than its own part.

The files are in the form of torch's distributed checkpoint for safetensors (``HuggingFaceStorageReader``): each names
the place of its parts. They are written here since the library's writer takes all tensors through its planner twice,
and since a file must be on the disk, and its checksum known, before the checkpoint names it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object
from safetensors.torch import save_file
from torch import Tensor

from bus_toolkit.ops.collective import rank, world_size
from bus_toolkit.ops.shards import is_shard, own_part
from bus_toolkit.ops.shared_work import for_all_ranks, on_first_rank
from bus_toolkit.weights.checksums import checksum
from bus_toolkit.weights.shard_files import TABLE, shard_folder, take_out
from bus_toolkit.writing import whole_file

_PLACES = "DCP_SHARDING_INFO"  # the library's key, and that of an entry
_OFFSETS = "saved_offsets"


def write_shards(sections: dict[str, Any], path: Path) -> dict[str, Any]:
    """Write all tensors of the sections into the folder of a checkpoint; all ranks call it.

    Args:
        sections: Nested, with shards or whole tensors; of these rank 0 writes one.
        path: The ``.pth``, which does not exist yet.

    Returns:
        The sections without tensors, and the table of the files.

    Raises:
        Exception: A rank cannot write; on every rank.
    """
    folder = shard_folder(path)
    on_first_rank(lambda: _empty(folder))
    bare, tensors = take_out(sections)
    own = for_all_ranks(lambda: _write(tensors, folder))
    table = {
        "files": {name: entry for one in all_gather_object(own) for name, entry in one.items()},
        "tensors": {name: (list(tensor.shape), tensor.dtype) for name, tensor in tensors.items()},
    }
    return {**bare, TABLE: table}


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while it wrote
    folder.mkdir(parents=True)


def _write(tensors: dict[str, Tensor], folder: Path) -> dict[str, tuple[int, int]]:
    """Write this rank's parts; return size and checksum of the file."""
    own = {name: tensor for name, tensor in tensors.items() if is_shard(tensor) or rank() == 0}
    parts = {name: own_part(tensor).to("cpu", copy=True).contiguous() for name, tensor in own.items()}
    parts = {name: part for name, part in parts.items() if part.numel()}
    places = {name: {_OFFSETS: _offsets(own[name])} for name in parts}
    file = folder / f"shard-{rank() + 1:05d}-model-00001-of-00001.safetensors"
    with whole_file(file) as temporary:
        save_file(parts, temporary, metadata={_PLACES: json.dumps(places), "format": "pt"})
    return {file.name: (file.stat().st_size, checksum(file))}


def _offsets(tensor: Tensor) -> list[int]:
    """Return where this rank's part begins; FSDP2 cuts the first dimension into parts of one size, the last smaller."""
    offsets = [0] * tensor.dim()
    if is_shard(tensor):
        offsets[0] = min(rank() * -(-tensor.shape[0] // world_size()), tensor.shape[0])
    return offsets
