"""Which checkpoint a run starts from: a whole one, the same on all ranks, decided when they can speak to each other."""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import all_gather_object

from bus_toolkit.engine.checkpoint_order import newest_first
from bus_toolkit.engine.options import LATEST
from bus_toolkit.engine.resumable import check_resumable
from bus_toolkit.errors import CheckpointError
from bus_toolkit.home import expand_home
from bus_toolkit.ops.collective import rank
from bus_toolkit.ops.shared_work import on_first_rank
from bus_toolkit.runs_below import SAVED_MODEL
from bus_toolkit.weights.checksums import check_records, fingerprint
from bus_toolkit.weights.files import load_checkpoint_file, unreadable
from bus_toolkit.weights.settings import checkpoint_of

_log = logging.getLogger(__name__)
_MOST = 5  # checkpoints that a message names


@dataclass(frozen=True)
class Start:
    """A checkpoint that rank 0 has looked at.

    Attributes:
        path: As the config or the flag names it.
        fingerprint: Of its contents.
        iteration: Iterations done in it, for a run that goes on.
    """

    path: str
    fingerprint: str
    iteration: int | None = None


def decide_start(cfg: Config, resume: str | None, source: str) -> None:
    """Turn ``--resume [PATH]`` or ``resume: true`` into a path, or a fresh start when there is nothing to resume.

    Rank 0 chooses and looks whether the file is whole; all ranks see the very same file, or none starts. The first rank
    of each machine looks at the bytes, since machines may have disks of their own.

    Args:
        cfg: With the work dir; ``resume`` and ``load_from`` are set.
        resume: The flag: ``latest``, a path, or ``None`` for what the config says.
        source: What names the file, for messages.

    Raises:
        CheckpointError: The file is not there, damaged, or no run can go on from it; on every rank.
    """
    if resume not in (None, LATEST):
        cfg.resume, cfg.load_from = True, resume
    trusted = bool(cfg.get("trusted_checkpoints", False))
    if resume == LATEST or (cfg.get("resume") and not cfg.get("load_from")):
        found = on_first_rank(lambda: newest_whole(Path(cfg.work_dir), trusted))
        cfg.resume = found is not None
        if found is not None:
            cfg.load_from = found.path
            _agree(found)
            return
        # A warning: the screen shows no less before the run has its log.
        _log.warning("--resume: no checkpoint in %s, starting from the beginning.", cfg.work_dir)
    given, resumed = checkpoint_of(cfg.get("load_from")), bool(cfg.get("resume"))
    if resumed and given is not None and _is_saved_model(expand_home(given)):
        raise CheckpointError(
            f"--resume: {given} is a saved model, which holds no optimizer and nothing else that a run goes on with. "
            "Resume in its run folder, or start a new training from its weights: --cfg-options "
            f"load_from={_weights_in(expand_home(given))}"
        )
    if resumed and not str(given).endswith(".pth"):
        raise CheckpointError(
            f"--resume: a run goes on from a .pth of its own work dir, got {given}. {_there(str(given))}"
            "To start from weights only, set load_from."
        )
    if given is not None and "://" not in given:
        _agree(on_first_rank(lambda: _given(given, source, resumed=resumed, trusted=trusted)))


def _is_saved_model(path: Path) -> bool:
    """Return whether a path is a folder that save_pretrained has written, or its weights."""
    return (_weights_in(path).parent / SAVED_MODEL).is_file()


def _weights_in(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path


def newest_whole(work_dir: Path, trusted: bool = False) -> Start | None:
    """Return the newest checkpoint of a run's folder from which the run can go on; warn of those passed over.

    Raises:
        CheckpointError: There are some, and none is whole.
    """
    damaged: list[str] = []
    for path in newest_first(work_dir):
        try:
            start = Start(str(path), fingerprint(path), _examine(path, trusted))
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        except OSError as error:  # a directory, or it was removed meanwhile
            damaged.append(f"{path}: cannot be read ({error.strerror}).")
            continue
        for text in damaged:
            _log.warning("--resume: passed over %s", text)
        if damaged:
            _log.warning("--resume: goes on from %s, iteration %d.", path, start.iteration)
        return start
    if damaged:
        first = (
            f"--resume: of the checkpoints in {work_dir} none is whole. Give the path of another copy, or train from "
        )
        raise CheckpointError([f"{first}the beginning in another work dir.", *damaged])
    return None


def _given(path: str, source: str, *, resumed: bool, trusted: bool) -> Start:
    """Look at a file that the config or a flag names.

    Raises:
        CheckpointError: It is not there, cannot be read, is damaged, or no run can go on from it.
    """
    file = expand_home(path)
    if not file.is_file():
        kind = "a folder is no" if file.is_dir() else "no such"
        files = "a .pth that a training has written" if resumed else "a .pth or .safetensors file"
        raise CheckpointError(f"{source}: {kind} checkpoint, got {path}. {_there(path)}Give the path of {files}.")
    if resumed:
        return Start(path, _fingerprint(file), _examine(file, trusted))
    check_records(file)
    return Start(path, _fingerprint(file))


def _fingerprint(file: Path) -> str:
    try:
        return fingerprint(file)
    except OSError as error:
        raise CheckpointError(unreadable(file, error)) from error


def _there(path: str) -> str:
    """Return a sentence about the checkpoints in the folder that ``path`` is or lies in; empty if there are none."""
    place = expand_home(path)
    folder = place if place.is_dir() else place.parent
    names = [found.name for found in islice(newest_first(folder), _MOST)]
    if not names:
        return ""
    going_on = f" (`--work-dir {folder} --resume` takes the newest whole one)" if folder == place else ""
    return f"{folder} has {', '.join(names)}{going_on}. "


def _examine(path: Path, trusted: bool) -> int:
    """Return the iterations done in a checkpoint from which a run can go on.

    Raises:
        CheckpointError: It is damaged, or holds a part of a run only.
    """
    held = load_checkpoint_file(path, trusted=trusted)
    check_resumable(held, path)
    return int(held["meta"]["iter"])


def _agree(start: Start) -> None:
    """Refuse a start that another rank sees otherwise than rank 0: it would train on with other weights.

    Raises:
        CheckpointError: With the ranks; on every rank.
    """
    problems = _problems_of_ranks("" if rank() == 0 else _difference(start))
    if problems:
        raise CheckpointError(
            f"{start.path}: not every rank has the checkpoint that rank 0 starts from: {'; '.join(problems)}. Put the "
            "work dir on a disk that all machines share, or copy the file to each of them."
        )


def _problems_of_ranks(problem: str) -> list[str]:
    """Return the problems of all ranks, each with its rank and machine; the same list on every rank."""
    problems = enumerate(all_gather_object((platform.node(), problem)))
    return [f"rank {number} ({machine}): {text}" for number, (machine, text) in problems if text]


def _difference(start: Start) -> str:
    """Return what this rank sees of it that is not what rank 0 sees; empty for the same."""
    file = expand_home(start.path)
    try:
        if not file.is_file():
            return f"does not see {file.resolve()}"
        if fingerprint(file) != start.fingerprint:
            return f"has another file of that name, {file.resolve()}"
        if os.environ.get("LOCAL_RANK") == "0":  # once a machine; on that of rank 0 it has been done
            check_records(file)
    except (OSError, CheckpointError) as error:
        return str(error)
    return ""
