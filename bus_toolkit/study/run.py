"""Run the jobs of a study: those that matter most first, several at a time, finished ones not again."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bus_toolkit.folder_locks import alone_in
from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.jobs import Job
from bus_toolkit.study.listing import deviations, reasons
from bus_toolkit.study.plan import Study
from bus_toolkit.study.planner import Planner
from bus_toolkit.study.processes import LOG, Process, ended_at_last
from bus_toolkit.study.results import RESULT, JobResult, Status, is_running, read_result, write_failure
from bus_toolkit.study.states import JobState, states_of
from bus_toolkit.study.work import Order
from bus_toolkit.writing import writing

Report = Callable[[str], None]
_POLL = 0.2  # seconds between two looks at the running jobs


@dataclass(frozen=True)
class RunRule:
    """How jobs are run.

    Attributes:
        worker: Command that runs the job in the folder which is its last word.
        jobs: Processes at a time.
        threads: Processor threads of each.
        seconds: No job begins later than this after the start; ``None`` for no limit.
        retry: Whether jobs run again that have failed with this config.
        replace: Whether results that another config has made are removed, and their jobs run again.
    """

    worker: Sequence[str]
    jobs: int = 2
    threads: int = 1
    seconds: float | None = None
    retry: bool = False
    replace: bool = False


def run_jobs(study: Study, jobs: Sequence[Job], out: Path, rule: RunRule, report: Report) -> dict[JobKey, JobResult]:
    """Run the jobs that are due and return the results of all of them that have one.

    A job that fails is reported and leaves a gap, as do those that start from it; it runs again when its config has
    changed, or if the rule says so. A job that is interrupted leaves nothing.

    Args:
        study: The study.
        jobs: Those of its jobs that are wanted, each after the one that it starts from.
        out: Folder; each job has ``<task>/<arm>/keep_<ratio>/seed_<n>`` below it.
        rule: How they are run.
        report: Is called with a line for each job that ends or cannot run.
    """
    states = states_of(jobs, Planner(study, jobs, out), out)
    refused = [state for state in states.values() if state.status is Status.REFUSED]
    for line in (*deviations(states.values(), study.tolerance), *reasons(refused)):
        report(line)
    _Queue(study, states, out, rule, report).run()
    return results_of(states)


def results_of(states: Mapping[JobKey, JobState]) -> dict[JobKey, JobResult]:
    """Return the results of jobs that are finished now with the config of the study."""
    found = {}
    for key, state in states.items():
        result = read_result(state.folder)
        if result is not None and state.plan is not None and result.fingerprint == state.plan.fingerprint:
            found[key] = result
    return found


class _Queue:
    """The jobs that are left, and those that run."""

    def __init__(
        self, study: Study, states: Mapping[JobKey, JobState], out: Path, rule: RunRule, report: Report
    ) -> None:
        self.out, self.rule, self.report = out, rule, report
        self.states = states
        self.pending = [state for state in states.values() if self._is_wanted(state)]
        self.running: list[Process] = []
        self._by_process: dict[Process, JobState] = {}
        self._done = {key for key, state in states.items() if state.status is Status.DONE}
        self._study = study
        self._began = time.monotonic()

    def run(self) -> None:
        with ended_at_last(self.running) as ending:
            while True:
                ending.check()
                self._collect()
                while self._is_time_left() and (state := self._next()) is not None:
                    self.pending.remove(state)
                    self._start(state)
                if not self.running:
                    break
                time.sleep(_POLL)
        self._report_left()

    def _is_wanted(self, state: JobState) -> bool:
        status, rule = state.status, self.rule
        if status in (Status.DONE, Status.REFUSED):
            return False
        if status is Status.RUNNING:
            self.report(f"{state.folder}: another process is running it. Wait for it, or give another --out.")
        elif status is Status.CHANGED and not rule.replace:
            self.report(
                f"{state.folder}: holds a run of another config. Give --replace to run it again, or another --out."
            )
        elif status is Status.FAILED and not rule.retry:
            self.report(f"{state.folder}: failed before: {state.reason} Give --retry to run it again.")
        else:
            return True
        return False

    def _is_time_left(self) -> bool:
        return self.rule.seconds is None or time.monotonic() - self._began < self.rule.seconds

    def _next(self) -> JobState | None:
        """Return the first job that can begin now."""
        running = self._by_process.values()
        if len(self.running) >= self.rule.jobs or any(state.job.alone for state in running):
            return None
        for state in self.pending:
            if state.job.start is None or state.job.start in self._done:
                # One that must be alone is not overtaken, or it would never begin.
                return None if state.job.alone and self.running else state
        return None

    def _start(self, state: JobState) -> None:
        assert state.plan is not None, "a refused job is not wanted"
        with writing(state.folder, "--out"), alone_in(self.out):
            if self._is_taken(state):
                return
            shutil.rmtree(state.folder, ignore_errors=True)  # files of an interrupted run
            order = Order.of(state.plan, self.out, keeps_checkpoint=self._keeps_checkpoint(state.job))
            order.write(state.folder, state.plan.config)
            process = Process(self.rule.worker, state.folder, self.rule.threads)
        self.running.append(process)
        self._by_process[process] = state

    def _is_taken(self, state: JobState) -> bool:
        """Return whether another study has begun a job in the same folder, or finished it, since this one looked."""
        if is_running(state.folder):
            self.report(f"{state.folder}: another process is running it. Wait for it, or give another --out.")
            return True
        if state.status is Status.CHANGED or not (state.folder / RESULT).is_file():
            return False
        result = read_result(state.folder)
        if state.plan is not None and result is not None and result.fingerprint == state.plan.fingerprint:
            self._done.add(state.job.key)
            self.report(f"{state.folder}: another process has finished it.")
        else:
            self.report(f"{state.folder}: another process has left a run of another config. Give another --out.")
        return True

    def _keeps_checkpoint(self, job: Job) -> bool:
        # By the whole study: jobs that start from this one may run in another call.
        return self._study.keep_checkpoints or job.is_start or job.key.task in self._study.started_from

    def _collect(self) -> None:
        for process in [process for process in self.running if process.code() is not None]:
            self.running.remove(process)
            state, code = self._by_process.pop(process), process.code()
            assert state.plan is not None
            minutes = (time.monotonic() - process.began) / 60
            if read_result(state.folder) is not None:
                # The result is the last thing that a job writes: an error in closing down takes nothing away.
                self._done.add(state.job.key)
                late = f", exit code {code} after it had finished" if code else ""
                self.report(f"{state.folder}: {minutes:.1f} min{late}.")
                continue
            message = process.failure()
            with contextlib.suppress(OSError):  # a full disk, perhaps that of the job: it is due again then
                write_failure(state.folder, state.plan.fingerprint, message)
            self.report(f"{state.folder}: failed (exit code {code}): {message} All of it is in {state.folder / LOG}.")

    def _report_left(self) -> None:
        for state in self.pending:
            start = state.job.start
            if start is not None and start not in self._done:
                self.report(f"{state.folder}: left out, since {start.folder(self.out)} has not finished.")
        due = sum(state.job.start is None or state.job.start in self._done for state in self.pending)
        if due:
            self.report(f"{due} jobs are still due: the time was up.")
