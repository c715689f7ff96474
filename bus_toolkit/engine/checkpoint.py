"""Let MMEngine read checkpoints without running code, and find the one to go on from.

MMEngine tries a safe read and then silently unpickles everything, so a foreign ``.pth`` can run code; resuming also
executes the config text kept under ``meta.config`` of a checkpoint. Both are closed here, for every place that loads
weights through MMEngine (``load_from``, ``resume``, ``init_cfg``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.logging import MessageHub
from mmengine.runner import CheckpointLoader

from bus_toolkit.engine.checkpoint_order import POINTER, newest_first, numbered
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
    """Return the newest checkpoint of a run's folder as :func:`newest_first` orders them, or ``None``.

    It is not opened; :func:`bus_toolkit.engine.whole_start.decide_start` looks whether it is whole.
    """
    return next(newest_first(Path(work_dir)), None)


def has_checkpoint(work_dir: str | Path) -> bool:
    """Return whether a run has finished a checkpoint in this folder."""
    return (Path(work_dir) / POINTER).is_file() or bool(numbered(Path(work_dir)))


def bring_home(message_hub: MessageHub, work_dir: str | Path) -> None:
    """Let the paths of checkpoints that a resumed run has noted lead into its own folder.

    MMEngine removes the previous best checkpoint by that path: in a copy of a run folder the other run's.
    """
    for key, value in list(message_hub.runtime_info.items()):
        if key.startswith(("best_ckpt", "last_ckpt")) and value:
            message_hub.update_info(key, str(Path(work_dir) / Path(value).name))


def _refuse_address(filename: str, map_location: Any = None, **_: object) -> dict[str, Any]:
    raise CheckpointError(
        f"{filename}: this kind of address is not supported. Allowed: a path, http:// or https://. "
        "Download the file yourself."
    )
