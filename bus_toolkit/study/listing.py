"""What a study will run and has run, as lines for the screen."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.results import Status
from bus_toolkit.study.states import JobState

_DUE = (Status.DUE, Status.WAITING)


_HEAD = ("job", "state", "MMAC an answer", "against budget", "MMAC a step", "tokens", "px", "min")


def job_lines(states: Mapping[JobKey, JobState], tolerance: float) -> list[str]:
    """Return a line a job: its state, counted costs, deviation from the budget, tokens, image size, and minutes.

    Minutes are those that it took, or an estimate (with ~) from the finished jobs that are most like it.

    Args:
        states: The jobs.
        tolerance: A larger deviation is marked by "!".
    """
    others = list(states.values())
    rows = [_HEAD, *((state.job.key.name, *_cells(state, others, tolerance)) for state in others)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def summary(states: Mapping[JobKey, JobState], jobs: int) -> list[str]:
    """Return how many jobs are in each state, why some cannot run, and how long those take that are due.

    Args:
        states: The jobs.
        jobs: Processes at a time.
    """
    counts = Counter(state.status for state in states.values())
    lines = [f"{len(states)} jobs: " + ", ".join(f"{counts[one]} {one.value}" for one in Status if counts[one]) + "."]
    lines += reasons(states.values())
    due = [state for state in states.values() if state.status in _DUE]
    known = [minutes for state in due if (minutes := estimate(state, states.values())) is not None]
    if due and known:
        total = sum(known) * len(due) / len(known) / jobs
        lines.append(f"The {len(due)} that are due take about {total / 60:.1f} h, {jobs} at a time.")
    return lines


def reasons(states: Iterable[JobState]) -> list[str]:
    """Return a line for each reason why jobs are refused or have failed, with the first of them."""
    alike: dict[tuple[Status, str], list[str]] = {}
    for state in states:
        if state.reason:
            alike.setdefault((state.status, state.reason), []).append(state.job.key.name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {status.value}: {reason}"
        for (status, reason), names in alike.items()
    ]


def deviations(states: Iterable[JobState], tolerance: float) -> list[str]:
    """Return a line for each arm, task and ratio whose cost could not be brought within the tolerance."""
    lines = {}
    for state in states:
        deviation = None if state.plan is None else state.plan.cost.deviation
        if deviation is not None and abs(deviation) > tolerance:
            key = state.job.key
            lines[key.task, key.arm, key.keep] = (
                f"{key.task}, {key.arm}, keep {key.keep:g}: costs {deviation:+.1%} of the budget, the nearest there is."
            )
    return list(lines.values())


def estimate(state: JobState, others: Iterable[JobState]) -> float | None:
    """Return the minutes of the finished jobs that are most like a job, by counted MACs; ``None`` without any."""
    key, done = state.job.key, [other for other in others if other.result is not None]
    alike: Sequence[Sequence[JobState]] = (
        [o for o in done if (o.job.key.task, o.job.key.arm, o.job.key.keep) == (key.task, key.arm, key.keep)],
        [o for o in done if (o.job.key.task, o.job.key.arm) == (key.task, key.arm)],
        [o for o in done if o.job.key.task == key.task],
        [o for o in done if not o.job.is_start],
    )
    chosen = next((group for group in alike if group), ())
    if not chosen:
        return None
    minutes = statistics.fmean(o.result.minutes for o in chosen if o.result is not None)
    own, works = _work(state), [work for o in chosen if (work := _work(o)) is not None]
    return minutes if own is None or len(works) < len(chosen) else minutes * own / statistics.fmean(works)


def _work(state: JobState) -> int | None:
    """Return the counted MACs of a text over all steps; ``None`` where they are not known."""
    steps = state.job.steps
    return None if state.plan is None or steps is None else state.plan.cost.step * steps


def _cells(state: JobState, others: Sequence[JobState], tolerance: float) -> list[str]:
    if state.result is not None and state.status is Status.DONE:
        minutes = f"{state.result.minutes:.1f}"
    else:
        guess = estimate(state, others)
        minutes = "" if guess is None else f"~{guess:.1f}"
    if state.plan is None:
        return [state.status.value, "", "", "", "", "", minutes]
    cost = state.plan.cost
    deviation = "" if cost.deviation is None else f"{cost.deviation:+.1%}"
    mark = "!" if cost.deviation is not None and abs(cost.deviation) > tolerance else ""
    height, width = cost.image_size
    return [
        state.status.value,
        f"{cost.inference / 1e6:.1f}",
        deviation + mark,
        f"{cost.step / 1e6:.1f}",
        _short(list(cost.tokens.values())),
        str(height) if height == width else f"{height}x{width}",
        minutes,
    ]


def _short(tokens: Sequence[int]) -> str:
    changes = [count for place, count in enumerate(tokens) if place == 0 or count != tokens[place - 1]]
    return " > ".join(map(str, changes))
