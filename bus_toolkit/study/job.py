"""One training of a study with its evaluation."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.errors import CheckpointError
from bus_toolkit.text_files import split_lines

RESULT, ORDER = "result.json", "job.json"


@dataclass(frozen=True)
class Job:
    """One run of a study.

    Attributes:
        config: Path of the YAML.
        overrides: ``key=value`` words.
        seed: Seed of the run.
        folder: Its work dir.
        start: Work dir of the job whose last checkpoint it starts from; empty for none.
    """

    config: str
    overrides: tuple[str, ...]
    seed: int
    folder: str
    start: str = ""

    def fingerprint(self) -> str:
        """Return a digest of what makes this job: its config as resolved, its seed, and what it starts from."""
        from bus_toolkit.config import load_config
        from bus_toolkit.config.yaml_text import dump_yaml
        from bus_toolkit.registry import plain

        resolved = dump_yaml(plain(load_config(self.config, self.overrides).to_dict()))
        start = read_result(Path(self.start)) if self.start else None
        made_of = json.dumps([resolved, self.seed, start and start["fingerprint"]])
        return hashlib.sha256(made_of.encode()).hexdigest()

    def write(self) -> None:
        """Write the job into its folder, for the process that runs it."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        (Path(self.folder) / ORDER).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Return the job that :meth:`write` has written into ``folder``."""
        order = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        return cls(**{**order, "overrides": tuple(order["overrides"])})


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the result of the finished job in ``folder``; ``None`` if none has finished."""
    try:
        result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result


def run_job(job: Job) -> dict[str, Any]:
    """Train, evaluate on the test split, count MACs and read the speed; write ``result.json`` and return it.

    Raises:
        BusError: Training or evaluation failed.
    """
    from bus_toolkit.analysis.meta_macs import MacCounter, frame_of
    from bus_toolkit.config import load_config
    from bus_toolkit.engine import RunOptions, evaluate, train
    from bus_toolkit.engine.checkpoint import latest_checkpoint

    folder = Path(job.folder)
    overrides = list(job.overrides)
    if job.start:
        # The rest of the setting, what may be new, is the config's.
        in_parts = isinstance(load_config(job.config, overrides).get("load_from"), Mapping)
        key = "load_from.checkpoint" if in_parts else "load_from"
        overrides.append(f"{key}={_last_checkpoint(Path(job.start))}")
    # Of the config that is trained: the file may be edited meanwhile.
    fingerprint = job.fingerprint()
    train(job.config, overrides, RunOptions(work_dir=job.folder, seed=job.seed, no_validate=True))
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None, "a training that ends has written its checkpoint"
    metrics = evaluate(job.config, overrides, RunOptions(work_dir=job.folder, load_from=str(checkpoint)))
    model = load_config(job.config, overrides).to_dict()["model"]
    counter = MacCounter("step", frame_of(model).max_length)
    result = {
        "fingerprint": fingerprint,
        "checkpoint": checkpoint.name,
        "metrics": {name: float(value) for name, value in metrics.items()},
        "samples_per_second": _speed(folder),
        "macs_per_sample": counter.macs(model),
    }
    scratch = folder / f".{RESULT}.tmp"
    scratch.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, folder / RESULT)
    return result


def _last_checkpoint(folder: Path) -> Path:
    from bus_toolkit.engine.checkpoint import latest_checkpoint

    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise CheckpointError(f"{folder}: the job to start from has no checkpoint. Run it first.")
    return checkpoint


def _speed(folder: Path) -> float:
    """Return the median of the training's readings of samples a second, from the newest log that has some."""
    logs = [log for log in sorted(folder.glob("*/vis_data/scalars.json")) if "samples_per_second" in log.read_text()]
    rows = [json.loads(line) for log in logs[-1:] for line in split_lines(log.read_text(encoding="utf-8"))]
    readings = [row["samples_per_second"] for row in rows if "samples_per_second" in row]
    return statistics.median(readings) if readings else float("nan")
