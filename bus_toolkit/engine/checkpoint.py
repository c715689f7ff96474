"""Let MMEngine read checkpoints without running code, and find the one to go on from.

MMEngine tries a safe read and then silently unpickles everything, so a foreign ``.pth`` can run code; resuming also
executes the config text kept under ``meta.config`` of a checkpoint. Both are closed here, for every place that loads
weights through MMEngine (``load_from``, ``resume``, ``init_cfg``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.downloading import local_copy
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.reading import trust_checkpoints

_OTHER_SCHEMES = (
    "pavi://",
    r"(\S+\:)?s3://",
    r"(\S+\:)?petrel://",
    "modelzoo://",
    "torchvision://",
    "open-mmlab://",
    "openmmlab://",
    "mmcls://",
)


def install_safe_loader(*, trusted: bool = False) -> None:
    """Make MMEngine load every checkpoint through :func:`load_checkpoint_file`.

    Paths and http(s) addresses work; the other address kinds of MMEngine unpickle what they fetch and are refused.
    ``trusted`` counts for the toolkit's own readers too.
    """
    trust_checkpoints(trusted)

    def load_from_file(filename: str, map_location: Any = "cpu") -> dict[str, Any]:
        return load_checkpoint_file(filename, map_location, trusted=trusted)

    def load_from_address(filename: str, map_location: Any = "cpu", **_: object) -> dict[str, Any]:
        return load_checkpoint_file(local_copy(filename), map_location, trusted=trusted)

    CheckpointLoader.register_scheme("", load_from_file, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), load_from_address, force=True)
    CheckpointLoader.register_scheme(_OTHER_SCHEMES, _refuse_address, force=True)


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the checkpoint that a resumed run goes on from, or ``None``.

    The pointer file ``last_checkpoint`` decides. If it is missing or names no file (the run was killed between two
    writes), the newest ``epoch_*.pth`` or ``iter_*.pth`` is taken. Half-written files never carry such a name.
    """
    work_dir = Path(work_dir)
    pointer = work_dir / "last_checkpoint"
    if pointer.is_file():
        named = Path(os.fsdecode(pointer.read_bytes().strip()) or "/")
        for candidate in (named, work_dir / named.name):
            if candidate.is_file():
                return candidate
    checkpoints = [p for p in work_dir.glob("*.pth") if re.fullmatch(r"(epoch|iter)_\d+\.pth", p.name)]
    return max(checkpoints, key=lambda p: p.stat().st_mtime_ns, default=None)


def _refuse_address(filename: str, map_location: Any = None, **_: object) -> dict[str, Any]:
    raise CheckpointError(
        f"{filename}: this kind of address is not supported. Allowed: a path, http:// or https://. "
        "Download the file yourself."
    )
