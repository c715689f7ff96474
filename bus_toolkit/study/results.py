"""The result of a job: what is written, and how it is read back."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.jobs import all_jobs
from bus_toolkit.study.plan import Study
from bus_toolkit.writing import write_whole

RESULT, FAILURE, PID = "result.json", "failed.json", "run.pid"
SAMPLES, SAMPLES_WRONG = "samples.jsonl.gz", "samples_wrong.jsonl.gz"


@dataclass(frozen=True)
class JobResult:
    """What a job that has finished leaves in ``result.json``.

    Attributes:
        task: Its task; ``start`` for a training that others start from, which is not tested.
        arm: Its arm.
        keep: Its keep ratio, that of the reference arm; 1 without a ratio.
        seed: Its seed.
        fingerprint: Of what it was made of.
        metrics: On test.
        wrong_text: The metrics when selectors read the text of another sample; ``None`` where that was not asked for.
        macs: ``inference`` of one text with one image, ``shared``, the part of it that all texts of an image share, and
            ``step`` of a training step a text.
        target_macs: Those of the reference arm's inference; ``None`` where nothing was matched.
        deviation: Share by which the inference differs from it.
        tokens: Visual tokens after each stage.
        changes: What was solved, by YAML path.
        image_size: Height and width in pixels.
        train: ``steps``, ``seconds`` without validations, and ``samples_per_second``.
        test: ``samples`` and ``seconds`` that the model took for them, without loading and metrics; empty for a start.
        curve: Points with ``step``, ``seconds``, ``macs`` and ``val``, the metrics of a validation.
        machine: What it ran on.
        started: When, in ISO form.
        minutes: How long all of it took.
        fresh: Paths of the model that had no weights in the checkpoint it started from.
        checkpoint: The last one's name; ``None`` where it was removed.
        chosen_on: The split by which settings are chosen.
    """

    task: str
    arm: str
    keep: float
    seed: int
    fingerprint: str
    metrics: Mapping[str, float]
    macs: Mapping[str, int]
    train: Mapping[str, float]
    test: Mapping[str, float] = field(default_factory=dict)
    wrong_text: Mapping[str, float] | None = None
    target_macs: int | None = None
    deviation: float | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    image_size: Sequence[int] = ()
    curve: Sequence[Mapping[str, Any]] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    minutes: float = 0.0
    fresh: Sequence[str] = ()
    checkpoint: str | None = None
    chosen_on: str = "val"

    def write(self, folder: Path) -> None:
        """Write it into the folder of its job, whole or not at all."""
        write_whole(folder / RESULT, json.dumps(asdict(self), indent=1) + "\n")


class Status(Enum):
    """How far a job is."""

    DONE = "done"
    DUE = "due"
    RUNNING = "running"
    FAILED = "failed"
    CHANGED = "of another config"
    """A result is there that another config has made."""
    WAITING = "waiting for its start"
    REFUSED = "refused"
    """Its config is wrong."""


@dataclass(frozen=True)
class Entry:
    """A job of a study, and what its folder holds, of whichever config that is; ``states_of`` compares configs, too."""

    key: JobKey
    folder: Path
    status: Status
    result: JobResult | None


def read_result(folder: Path) -> JobResult | None:
    """Return the result of the finished job in ``folder``; ``None`` if none has finished."""
    try:
        return JobResult(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # of an earlier version, too
        return None


def read_failure(folder: Path) -> dict[str, Any] | None:
    """Return what :func:`write_failure` has written into the folder of a job."""
    try:
        failure: dict[str, Any] = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return failure


def write_failure(folder: Path, fingerprint: str, message: str) -> None:
    """Note that a job has failed."""
    write_whole(folder / FAILURE, json.dumps({"fingerprint": fingerprint, "message": message}, indent=1) + "\n")


def is_running(folder: Path) -> bool:
    """Return whether the job's process is there, on whichever machine or in whichever container that has the folder.

    It holds a lock on the file with its number as long as it lives. The number itself says nothing elsewhere, and is
    used again.
    """
    try:
        with (folder / PID).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file
        return False
    return False


def read_results(study: Study, out: Path) -> list[Entry]:
    """Return every job of the study in its order, with what lies in its folder, of whichever config that is."""
    return list(_entries(study, out))


def _entries(study: Study, out: Path) -> Iterator[Entry]:
    for job in all_jobs(study):
        folder = job.key.folder(out)
        yield Entry(job.key, folder, _status(folder), read_result(folder))


def _status(folder: Path) -> Status:
    if read_result(folder) is not None:
        return Status.DONE
    if is_running(folder):
        return Status.RUNNING
    return Status.DUE if read_failure(folder) is None else Status.FAILED
