"""One job of a study in a process of its own: train, test, write the result."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.config import load_config
from bus_toolkit.engine import RunOptions, evaluate, train
from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.hooks.answer_time import AnswerTimeHook
from bus_toolkit.engine.hooks.learning_curve import LearningCurveHook, finite
from bus_toolkit.errors import BusError
from bus_toolkit.run_page.folder import PAGE, read_run
from bus_toolkit.run_page.page import write_page
from bus_toolkit.study import wrong_text
from bus_toolkit.study.planner import PlannedJob
from bus_toolkit.study.results import SAMPLES, SAMPLES_WRONG, JobResult
from bus_toolkit.study.starting import start_from
from bus_toolkit.writing import write_whole

_log = logging.getLogger(__name__)
ORDER, CONFIG = "job.json", "job.yaml"


@dataclass(frozen=True)
class Order:
    """What the process that runs a job must know; its config lies beside it.

    Attributes:
        task, arm, keep, seed: The job's key.
        fingerprint: Of what it is made of.
        start: Folder of the job that it starts from; empty for none.
        is_start: Whether others start from it, and it is not tested.
        has_curve: Whether validations belong to the training.
        wrong_text: Whether it is tested under a wrong text, too.
        keeps_checkpoint: Whether its checkpoint stays.
        cost: As ``Cost``, in the form of the result.
        changes: What was solved.
    """

    task: str
    arm: str
    keep: float
    seed: int
    fingerprint: str
    start: str
    is_start: bool
    has_curve: bool
    wrong_text: bool
    keeps_checkpoint: bool
    cost: Mapping[str, Any]
    changes: Mapping[str, Any]

    @classmethod
    def of(cls, plan: PlannedJob, out: Path, *, keeps_checkpoint: bool) -> Order:
        """Return the order for a planned job below ``out``."""
        job, cost = plan.job, plan.cost
        return cls(
            **asdict(job.key),
            fingerprint=plan.fingerprint,
            start="" if job.start is None else str(job.start.folder(out)),
            is_start=job.is_start,
            has_curve=job.steps is not None,
            wrong_text=job.wrong_text,
            keeps_checkpoint=keeps_checkpoint,
            cost={
                "macs": {"inference": cost.inference, "shared": cost.shared, "step": cost.step},
                "target_macs": cost.target,
                "deviation": cost.deviation,
                "tokens": dict(cost.tokens),
                "image_size": list(cost.image_size),
            },
            changes=plan.changes,
        )

    def write(self, folder: Path, config: str) -> None:
        """Write it and the config into the folder of the job."""
        write_whole(folder / CONFIG, config)
        write_whole(folder / ORDER, json.dumps(asdict(self), indent=1) + "\n")


def run_order(folder: Path) -> JobResult:
    """Run the job whose order and config lie in ``folder``; write and return the result.

    Raises:
        BusError: Training or evaluation failed.
    """
    order = Order(**json.loads((folder / ORDER).read_text(encoding="utf-8")))
    began, started = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    config = str(folder / CONFIG)
    load_from = start_from(Path(order.start), load_config(config).to_dict()) if order.start else None
    curve = LearningCurveHook(order.cost["macs"]["step"], validate_first=bool(order.start))
    overrides = {} if load_from is None else {"load_from": load_from}
    options = RunOptions(work_dir=str(folder), seed=order.seed, no_validate=not order.has_curve)
    train(config, overrides, options, hooks=[curve])
    answers = AnswerTimeHook()
    metrics, under_wrong_text = _test(folder, order, answers)
    seconds = curve.speed.seconds
    result = JobResult(
        task=order.task,
        arm=order.arm,
        keep=order.keep,
        seed=order.seed,
        fingerprint=order.fingerprint,
        metrics=metrics,
        wrong_text=under_wrong_text,
        **order.cost,
        changes=order.changes,
        train={
            "steps": curve.steps,
            "seconds": round(seconds, 2),
            "samples_per_second": round(curve.speed.samples / seconds, 3) if seconds else 0.0,
        },
        test={"samples": answers.samples, "seconds": round(answers.seconds, 3)} if answers.samples else {},
        curve=curve.points,
        machine=_machine(),
        started=started,
        minutes=round((time.monotonic() - began) / 60, 3),
        fresh=[] if load_from is None else load_from["new_parts"],
        checkpoint=_clear(folder, keeps=order.keeps_checkpoint),
    )
    result.write(folder)
    _renew_page(folder)
    return result


def _renew_page(folder: Path) -> None:
    """Make the page of a run again, with its result; one that cannot be written costs no result."""
    try:
        if (folder / PAGE).is_file():
            write_page(read_run(folder))
    except (BusError, OSError):
        _log.warning("%s: the page of the run could not be written again.", folder, exc_info=True)


def _test(folder: Path, order: Order, answers: AnswerTimeHook) -> tuple[dict[str, float], dict[str, float] | None]:
    if order.is_start:
        return {}, None
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None, "a training that ends has written its checkpoint"
    found = []
    tests = [({}, SAMPLES, [answers]), (wrong_text.OVERRIDES, SAMPLES_WRONG, [])]
    for overrides, samples, hooks in tests if order.wrong_text else tests[:1]:
        options = RunOptions(work_dir=str(folder), load_from=str(checkpoint), samples_file=folder / samples)
        metrics = evaluate(folder / CONFIG, overrides, options, hooks=hooks)
        found.append(finite(metrics))
    return found[0], found[1] if order.wrong_text else None


def _clear(folder: Path, *, keeps: bool) -> str | None:
    """Remove the checkpoints unless they are kept; return the last one's name."""
    checkpoint = latest_checkpoint(folder)
    if keeps and checkpoint is not None:
        return checkpoint.name
    for path in (*folder.glob("*.pth"), folder / "last_checkpoint"):
        path.unlink(missing_ok=True)
    return None


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
