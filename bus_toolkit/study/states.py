"""How far each job of a study is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.errors import BusError
from bus_toolkit.own_log import each_line_once
from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.jobs import Job
from bus_toolkit.study.planner import PlannedJob, Planner
from bus_toolkit.study.results import RESULT, JobResult, Status, is_running, read_failure, read_result


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    Attributes:
        job: The job.
        folder: Its folder.
        status: How far it is.
        plan: What is run; ``None`` for a refused job.
        result: Of this plan or, if the status says so, of another one.
        reason: Why it failed or is refused.
    """

    job: Job
    folder: Path
    status: Status
    plan: PlannedJob | None = None
    result: JobResult | None = None
    reason: str = ""


def states_of(jobs: Iterable[Job], planner: Planner, out: Path) -> dict[JobKey, JobState]:
    """Plan the jobs and return how far each of them is; a job comes after the one that it starts from."""
    states: dict[JobKey, JobState] = {}
    try:
        with each_line_once():
            for job in jobs:
                start = None if job.start is None else states[job.start]
                states[job.key] = _state(job, start, planner, job.key.folder(out))
    finally:
        planner.counts.save()
    return states


def _state(job: Job, start: JobState | None, planner: Planner, folder: Path) -> JobState:
    try:
        plan = planner.plan(job)
    except BusError as error:
        return JobState(job, folder, Status.REFUSED, reason=str(error))
    result = read_result(folder)
    if result is None and is_running(folder):
        return JobState(job, folder, Status.RUNNING, plan)
    if (folder / RESULT).is_file():
        is_own = result is not None and result.fingerprint == plan.fingerprint
        status = Status.DONE if is_own else Status.CHANGED
        return JobState(job, folder, status, plan, result)
    if start is not None and start.status is not Status.DONE:
        return JobState(job, folder, Status.WAITING, plan)
    failure = read_failure(folder)
    if failure is not None and failure["fingerprint"] == plan.fingerprint:
        return JobState(job, folder, Status.FAILED, plan, reason=failure["message"])
    if start is not None and latest_checkpoint(start.folder) is None:
        reason = f"{start.folder}: has a result, but its checkpoint is gone. Remove {RESULT} there to train it again."
        return JobState(job, folder, Status.REFUSED, reason=reason)
    return JobState(job, folder, Status.DUE, plan)
