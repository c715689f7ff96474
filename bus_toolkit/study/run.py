"""Run the jobs of a study: those of one task and seed side by side, finished ones not again."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

from bus_toolkit.errors import BusError
from bus_toolkit.study.job import Job, read_result
from bus_toolkit.study.plan import Study, Task

_log = logging.getLogger(__name__)
_LOG_FILE, _PID_FILE = "run.log", "run.pid"

Report = Callable[[str], None]
Results = dict[tuple[str, str, int], dict[str, Any]]
"""Task, system and seed to the result of its job."""


def run_study(study: Study, out: Path, *, jobs: int, worker: Sequence[str], report: Report) -> Results:
    """Run the jobs that have not run yet and return all results.

    The systems of one task and seed run at the same time, up to ``jobs`` of them and with the processors shared
    evenly, so that their speeds can be compared. A job that fails is reported and leaves a gap, as do those that start
    from it. The output of each job goes into ``run.log`` of its folder.

    Args:
        study: The study to run.
        out: Folder; each job has ``<task>/<system>/seed_<n>`` below it.
        jobs: Processes at a time.
        worker: Command that runs the job in the folder which is its last word.
        report: Is called with a line for each job that ends.
    """
    results: Results = {}
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    for task in study.tasks:
        for seed in task.seeds:
            wave = {system: _job(study, task, system, seed, out) for system in study.systems}
            states = {system: _state(job, report) for system, job in wave.items()}
            with ThreadPoolExecutor(jobs) as pool:
                due = [job for system, job in wave.items() if states[system] is _State.DUE]
                list(pool.map(lambda job: _run(job, worker, threads, report), due))
            for system, job in wave.items():
                result = None if states[system] is _State.LEFT_OUT else read_result(Path(job.folder))
                if result is not None:
                    results[task.name, system, seed] = result
    return results


def collect(study: Study, out: Path, report: Report) -> Results:
    """Return the results of the jobs that have finished, without running any; those of another config are reported."""
    results = {}
    for task, system, seed in _all(study):
        job = _job(study, task, system, seed, out)
        result = read_result(Path(job.folder))
        if result is not None and _state(job, report) is _State.DONE:
            results[task.name, system, seed] = result
    return results


def _all(study: Study) -> Iterator[tuple[Task, str, int]]:
    return ((task, system, seed) for task in study.tasks for system in study.systems for seed in task.seeds)


def _folder(out: Path, task: Task, system: str, seed: int) -> Path:
    return out / task.name.replace(" ", "_") / system.replace(" ", "_") / f"seed_{seed}"


def _job(study: Study, task: Task, system: str, seed: int, out: Path) -> Job:
    start = next((t for t in study.tasks if t.name == task.start), None)
    # A start that was run with other seeds serves all seeds with its first.
    from_seed = start.seeds[0] if start is not None and seed not in start.seeds else seed
    return Job(
        config=task.config.format(system=study.systems[system]),
        overrides=task.overrides,
        seed=seed,
        folder=str(_folder(out, task, system, seed)),
        start=str(_folder(out, start, system, from_seed)) if start else "",
    )


class _State(Enum):
    DUE, DONE, LEFT_OUT = range(3)


def _state(job: Job, report: Report) -> _State:
    """Return whether the job is to be run now; files of another job in its folder are never touched."""
    folder = Path(job.folder)
    if job.start and read_result(Path(job.start)) is None:
        report(f"{folder}: left out, since {job.start} has not finished.")
        return _State.LEFT_OUT
    try:
        fingerprint = job.fingerprint()
    except BusError as error:
        report(f"{folder}: {error}")
        return _State.LEFT_OUT
    done = read_result(folder)
    if done is None and _is_running(folder):
        report(f"{folder}: another process is running it. Wait for it, or give another --out.")
        return _State.LEFT_OUT
    if done is None:
        return _State.DUE
    if done["fingerprint"] == fingerprint:
        report(f"{folder}: done before.")
        return _State.DONE
    report(f"{folder}: holds a run of another config. Remove the folder to run it again, or give another --out.")
    return _State.LEFT_OUT


def _is_running(folder: Path) -> bool:
    """Return whether a process that began the job on this machine is still there."""
    try:
        pid = int((folder / _PID_FILE).read_text(encoding="utf-8"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return False
    return pid != os.getpid()


def _run(job: Job, worker: Sequence[str], threads: int, report: Report) -> None:
    shutil.rmtree(job.folder, ignore_errors=True)  # files of an interrupted run
    job.write()
    (Path(job.folder) / _PID_FILE).write_text(f"{os.getpid()}\n", encoding="utf-8")
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    log = Path(job.folder) / _LOG_FILE
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run(
            [*worker, job.folder],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        ).returncode
    if code:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        report(f"{job.folder}: failed (exit code {code}): {' '.join(last)} All of it is in {log}.")
    else:
        report(f"{job.folder}: {(time.monotonic() - began) / 60:.1f} min.")
