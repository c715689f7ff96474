"""What a study consists of: arms x keep ratios x tasks x seeds, and the trainings that arms start from."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from bus_toolkit.errors import ConfigError

WHOLE = 1.0
"""The ratio in the name of a job whose arm has none."""


class Match(Enum):
    """What of an arm is solved so that it costs what the reference costs."""

    KEEP = "keep"
    """The keep ratios of its selectors."""
    IMAGE = "image"
    """The size of its image."""
    NONE = "none"
    """Nothing: it runs once, whatever the ratios."""


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    Attributes:
        label: Its name there.
        metrics: Keys of the evaluation whose mean it shows.
        baseline: Key of the score without any skill, or ``None``.
        times: Factor of all of them.
        digits: Decimal places.
    """

    label: str
    metrics: tuple[str, ...]
    baseline: str | None
    times: float
    digits: int

    def of(self, metrics: Mapping[str, float]) -> float | None:
        """Return what it shows of the metrics of an evaluation; ``None`` if one of its own is missing."""
        if not all(name in metrics for name in self.metrics):
            return None
        return statistics.fmean(metrics[name] for name in self.metrics) * self.times


@dataclass(frozen=True)
class Training:
    """How a config is trained.

    Attributes:
        config: Path or name of the YAML of a run; ``{system}`` in it is replaced by that of each arm.
        overrides: ``key=value`` words as in ``--cfg-options``.
        steps: Steps of each training; ``None`` leaves the length and the validations to the config.
        every: Steps between two points of the curve; ``None`` for a validation at the end only.
        samples: Validation samples of a point, spread over the data; ``None`` for all.
    """

    config: str
    overrides: tuple[str, ...] = ()
    steps: int | None = None
    every: int | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Start:
    """A training that arms start from, once a seed; ``name`` is that of the entry.

    ``start`` is the entry listed before whose last checkpoint it starts from; ``None`` for the weights of its config.
    """

    name: str
    training: Training
    seeds: tuple[int, ...]
    start: str | None = None


@dataclass(frozen=True)
class Arm:
    """What is compared.

    Attributes:
        name: In tables and in the names of folders.
        system: Replaces ``{system}`` in the configs of tasks; empty if they have none.
        model: Merged into the ``model`` of the task's config.
        selectors: In place of the config's; ``None`` leaves them.
        overrides: ``key=value`` words on top of the task's.
        steps: In place of the task's; ``None`` for these.
        match: What is solved for equal cost.
        wrong_text: Whether it is tested under a wrong text, too.
    """

    name: str
    system: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    selectors: tuple[Mapping[str, Any], ...] | None = None
    overrides: tuple[str, ...] = ()
    steps: int | None = None
    match: Match = Match.NONE
    wrong_text: bool = False


@dataclass(frozen=True)
class Grid:
    """A part of a task's jobs: every one of ``arms`` at every ratio of ``keep`` with every one of ``seeds``."""

    arms: tuple[str, ...]
    keep: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """One question that all arms are trained and tested on.

    Attributes:
        name: Its folder below the study's.
        training: How each arm is trained.
        start: The entry of ``starts``, or the task listed before, whose last checkpoint its jobs start from: that of
            the same seed (of a task also of the same arm and ratio), or of the first seed if there is none.
        grids: Its jobs, those first that matter most.
        figures: Rows of the table.
        note: A sentence below the table.
        alone: Whether a job runs beside no other one, so that its time can be compared.
        wrong_text: Whether the arms that ask for it are tested under a wrong text, too.
    """

    name: str
    training: Training
    start: str | None
    grids: tuple[Grid, ...]
    figures: tuple[Figure, ...]
    note: str
    alone: bool
    wrong_text: bool

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its jobs in their order."""
        return tuple(dict.fromkeys(seed for grid in self.grids for seed in grid.seeds))


@dataclass(frozen=True)
class Study:
    """A study as its YAML describes it.

    Attributes:
        title: Its name for people.
        arms: What is compared; tables compare the others to the first one.
        tasks: On what.
        starts: What arms start from.
        reference: The arm whose counted cost at each keep ratio is the budget of the other ones; ``None`` without.
        tolerance: Share by which the cost of another arm may differ without being pointed out.
        plugins: Those that the arms need, beside the plugins of the configs.
        order: Patterns of jobs, the most important ones first; the others come after them in the order of the file.
        keep_checkpoints: Whether the arms' checkpoints stay after their evaluation.
        started_from: Tasks whose checkpoints stay in any case, since others start from them.
    """

    title: str
    arms: tuple[Arm, ...]
    tasks: tuple[Task, ...]
    starts: tuple[Start, ...] = ()
    reference: str | None = None
    tolerance: float = 0.03
    plugins: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    keep_checkpoints: bool = True
    started_from: tuple[str, ...] = ()

    @property
    def has_ratios(self) -> bool:
        """Whether arms run at several keep ratios, so that one table of arms does not show all."""
        return self.reference is not None

    def arm(self, name: str) -> Arm:
        """Return the arm of this name."""
        return next(arm for arm in self.arms if arm.name == name)

    def only(self, tasks: Sequence[str] | None, seeds: Sequence[int] | None) -> Study:
        """Return the study cut to some of its tasks, and those they start from, with other seeds if any are given.

        Raises:
            ConfigError: A task that it does not have.
        """
        known = {task.name: task for task in self.tasks}
        wanted = set(tasks or known)
        if wanted - set(known):
            raise ConfigError(
                f"--tasks: must be some of {', '.join(known)}, got {', '.join(sorted(wanted - set(known)))}."
            )
        for task in reversed(self.tasks):
            if task.name in wanted and task.start in known:
                wanted.add(task.start)
        chosen = (task for task in self.tasks if task.name in wanted)
        return replace(self, tasks=tuple(_with_seeds(task, seeds) for task in chosen))


def _with_seeds(task: Task, seeds: Sequence[int] | None) -> Task:
    return replace(task, grids=tuple(replace(grid, seeds=tuple(seeds or grid.seeds)) for grid in task.grids))
