"""The tasks and systems of a study, read from its YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home

_TOP = {"title", "systems", "seeds", "tasks"}
_TASK = {"config", "start", "overrides", "seeds", "figures", "note"}
_FIGURE = {"metric", "baseline", "times", "digits"}


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


@dataclass(frozen=True)
class Task:
    """One training with its evaluation; ``{system}`` in ``config`` is replaced by each system's stem.

    Attributes:
        name: Its folder below the study's.
        config: Path of the YAML of a run.
        start: The task whose last checkpoint, of the same system and seed, it starts from; of that task's first seed
            if it was not run with this one.
        overrides: ``key=value`` words as in ``--cfg-options``.
        seeds: Those of its runs.
        figures: Rows of the table.
        note: A sentence below the table.
    """

    name: str
    config: str
    start: str | None
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: tuple[Figure, ...]
    note: str


@dataclass(frozen=True)
class Study:
    """``systems`` maps the name in the table to the stem of the files; the others are compared to the first one."""

    title: str
    systems: Mapping[str, str]
    tasks: tuple[Task, ...]

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
            if task.name in wanted and task.start is not None:
                wanted.add(task.start)
        chosen = (task for task in self.tasks if task.name in wanted)
        return replace(self, tasks=tuple(replace(task, seeds=tuple(seeds or task.seeds)) for task in chosen))


def read_study(path: str | Path) -> Study:
    """Read a study; paths in it are relative to the file.

    Raises:
        ConfigError: The file cannot be read, a key is missing or unknown, a config does not exist, or a task starts
            from one that is not listed before it.
    """
    file = expand_home(path)
    if not file.is_file():
        raise ConfigError(f"{path}: no such study. Give the path of its YAML file.")
    content = read_yaml(file)
    _check_keys(content, str(file), _TOP, _TOP)
    systems, tasks = content["systems"], content["tasks"]
    if not isinstance(systems, dict) or not systems or not isinstance(tasks, dict) or not tasks:
        raise ConfigError(f"{file}: systems and tasks must be mappings with at least one entry each.")
    listed: list[Task] = []
    for name, node in tasks.items():
        task = _task(name, node, content["seeds"], file)
        if task.start is not None and task.start not in {known.name for known in listed}:
            raise ConfigError(
                f"{file}: tasks.{name}.start: must be a task listed before it, got {task.start!r}. "
                "Change the order, or leave start out."
            )
        for stem in systems.values():
            if not Path(task.config.format(system=stem)).is_file():
                raise ConfigError(f"{file}: tasks.{name}.config: no such file, {task.config.format(system=stem)}.")
        listed.append(task)
    return Study(str(content["title"]), {str(k): str(v) for k, v in systems.items()}, tuple(listed))


def _task(name: str, node: Any, seeds: Any, file: Path) -> Task:  # whatever the YAML holds
    location = f"{file}: tasks.{name}"
    _check_keys(node, location, _TASK, {"config", "figures"})
    seeds = node.get("seeds", seeds)
    if not isinstance(seeds, list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise ConfigError(f"{location}.seeds: must be a list of whole numbers, got {seeds!r}.")
    figures = []
    for label, entry in node["figures"].items():
        _check_keys(entry, f"{location}.figures.{label}", _FIGURE, {"metric"})
        metrics = entry["metric"] if isinstance(entry["metric"], list) else [entry["metric"]]
        times, digits = float(entry.get("times", 1.0)), int(entry.get("digits", 1))
        figures.append(Figure(str(label), tuple(metrics), entry.get("baseline"), times, digits))
    config = os.path.normpath(file.parent / node["config"])
    return Task(
        name=str(name),
        config=config,
        start=node.get("start"),
        overrides=tuple(node.get("overrides", ())),
        seeds=tuple(seeds),
        figures=tuple(figures),
        note=str(node.get("note", "")),
    )


def _check_keys(node: Any, location: str, allowed: set[str], needed: set[str]) -> None:
    if not isinstance(node, dict):
        raise ConfigError(f"{location}: must be a mapping with {', '.join(sorted(allowed))}, got {node!r}.")
    if set(node) - allowed or needed - set(node):
        raise ConfigError(
            f"{location}: takes {', '.join(sorted(allowed))} and needs {', '.join(sorted(needed))}, got "
            f"{', '.join(map(str, node))}."
        )
