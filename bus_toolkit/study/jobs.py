"""The jobs of a study in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bus_toolkit.study.job_key import START, JobKey
from bus_toolkit.study.plan import WHOLE, Arm, Match, Start, Study, Task, Training

_UNPRUNED = Arm("")


@dataclass(frozen=True)
class Job:
    """A training of a study with its evaluation.

    Attributes:
        key: Its name.
        training: How it is trained.
        arm: What of.
        start: The job whose last checkpoint it starts from.
        alone: Whether it runs beside no other job.
        wrong_text: Whether it is tested under a wrong text, too.
        is_start: Whether it only makes the checkpoint that others start from, and is not tested.
    """

    key: JobKey
    training: Training
    arm: Arm
    start: JobKey | None = None
    alone: bool = False
    wrong_text: bool = False
    is_start: bool = False

    @property
    def steps(self) -> int | None:
        """Steps of the training; ``None`` leaves them to the config."""
        return self.arm.steps or self.training.steps


def all_jobs(study: Study) -> tuple[Job, ...]:
    """Return every job once: the most important ones first, each after the one that it starts from."""
    jobs = {job.key: job for job in _in_order_of_the_file(study)}
    last = len(study.order)

    def importance(key: JobKey) -> int:
        place = key.matches(study.order)
        return last if place is None else place

    ordered: dict[JobKey, Job] = {}
    for key in sorted((key for key, job in jobs.items() if not job.is_start), key=importance):
        _add(key, jobs, ordered)
    return tuple(ordered.values())


def needed(jobs: tuple[Job, ...], patterns: tuple[str, ...]) -> tuple[Job, ...]:
    """Return the jobs that match one of the patterns and those that they start from; all of them without a pattern."""
    by_key = {job.key: job for job in jobs}
    ordered: dict[JobKey, Job] = {}
    for key in by_key:
        if not patterns or key.matches(patterns) is not None:
            _add(key, by_key, ordered)
    return tuple(ordered.values())


def _add(key: JobKey, jobs: dict[JobKey, Job], ordered: dict[JobKey, Job]) -> None:
    start = jobs[key].start
    if start is not None:
        _add(start, jobs, ordered)
    ordered.setdefault(key, jobs[key])


def _in_order_of_the_file(study: Study) -> Iterator[Job]:
    for start in study.starts:
        for seed in start.seeds:
            key = JobKey(START, start.name, WHOLE, seed)
            yield Job(key, start.training, _UNPRUNED, _start_of(study, start, key), is_start=True)
    for task in study.tasks:
        for grid in task.grids:
            for seed in grid.seeds:
                # Arms of one ratio side by side, so that a study which is stopped has rows that can be compared.
                for keep in grid.keep or (WHOLE,):
                    for name in grid.arms:
                        arm = study.arm(name)
                        ratio = WHOLE if arm.match is Match.NONE else keep
                        key = JobKey(task.name, name, ratio, seed)
                        wrong_text = arm.wrong_text and task.wrong_text
                        yield Job(key, task.training, arm, _start_of(study, task, key), task.alone, wrong_text)


def _start_of(study: Study, one: Start | Task, key: JobKey) -> JobKey | None:
    if one.start is None:
        return None
    start = next((start for start in study.starts if start.name == one.start), None)
    if start is not None:
        return JobKey(START, start.name, WHOLE, _serving(key.seed, start.seeds))
    before = next(task for task in study.tasks if task.name == one.start)
    return JobKey(before.name, key.arm, key.keep, _serving(key.seed, before.seeds))


def _serving(seed: int, seeds: tuple[int, ...]) -> int:
    """Return the seed of the start: one that was run with other seeds serves all with its first."""
    return seed if seed in seeds else seeds[0]
