"""Read the YAML of a study."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.config.files import BASE, IN_PLUGIN, find_config
from bus_toolkit.config.merge import merge_chain
from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.study.arms import read_arms
from bus_toolkit.study.job_key import SAFE, START, safe
from bus_toolkit.study.nodes import check_keys, flag, mapping, number, numbers, seeds_of, whole, words
from bus_toolkit.study.plan import Arm, Figure, Grid, Start, Study, Task, Training

_TOP = {
    *("title", "seeds", "tasks", "systems", "arms", "starts", "reference", "keep", "tolerance", "steps", "validate"),
    *("plugins", "order", "keep_checkpoints", "report"),
}
_TRAINING = {"config", "overrides", "steps", "validate"}
_START = {*_TRAINING, "start", "seeds"}
_TASK = {*_TRAINING, "start", "seeds", "keep", "arms", "runs", "figures", "note", "alone", "wrong_text"}
_GRID = {"seeds", "keep", "arms"}
_FIGURE = {"metric", "baseline", "times", "digits"}
_LONGEST = 200  # bytes of a name; file systems take 255


def read_study(path: str | Path) -> Study:
    """Read a study; paths in it are relative to the file that they are written in.

    Raises:
        ConfigError: The file cannot be read, a key is missing or unknown, a config does not exist, or a task starts
            from nothing that is listed before it.
    """
    content, location = merged_study(path), str(expand_home(path))
    check_keys(content, location, _TOP, {"title", "seeds", "tasks"})
    return _Reader(content, location).study()


def merged_study(path: str | Path) -> dict[str, Any]:
    """Return the content of a study's file, merged over that of the files it is based on; arms are by name.

    ``_base_`` names studies that it is merged over, as in configs: one line can add an arm to a study that ships. Such
    an arm runs wherever the reference does, unless the file lists which arms run.

    Raises:
        ConfigError: A file cannot be read, or arms have no names of their own.
    """
    file = expand_home(path)
    if not file.is_file():
        raise ConfigError(f"{path}: no such study. Give the path of its YAML file.")
    *bases, own = _layers(file, ())
    content = merge_chain([*bases, own])
    return _with_added_arms(content, bases, own) if bases else content


def _with_added_arms(
    content: dict[str, Any], bases: Sequence[Mapping[str, Any]], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a study in which arms that only its own file has are in each list of arms that names the reference."""
    known = {str(name) for base in bases for name in _mapping(base.get("arms"))}
    added = [name for name, arm in _mapping(own.get("arms")).items() if str(name) not in known and arm is not None]

    def extended(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        changed = dict(node)
        listed = node.get("arms")
        if isinstance(listed, list) and content.get("reference") in listed:
            changed["arms"] = [*listed, *added]
        if isinstance(node.get("runs"), list):
            changed["runs"] = [extended(run) for run in node["runs"]]
        return changed

    listed_here = _mapping(own.get("tasks"))
    tasks = content.get("tasks")
    if not added or not isinstance(tasks, dict):
        return content
    return {**content, "tasks": {k: node if k in listed_here else extended(node) for k, node in tasks.items()}}


def _mapping(node: Any) -> Mapping[Any, Any]:
    return node if isinstance(node, dict) else {}


def _layers(file: Path, opened: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """Yield the bases of a study and itself, with arms by name and with paths of configs that hold from anywhere."""
    if file.resolve() in opened:
        raise ConfigError(f"{file}: {BASE} leads back to this file. Remove one of them.")
    content = read_yaml(file)
    bases = content.pop(BASE, [])
    for base in [bases] if isinstance(bases, str) else bases:
        path = file.parent / str(base)
        if not path.is_file():
            raise ConfigError(f"{file}: {BASE}: no such study, got {path}. Give its path as seen from this file.")
        yield from _layers(path, (*opened, file.resolve()))
    if isinstance(content.get("arms"), list):
        content["arms"] = _by_name(content["arms"], f"{file}: arms")
    for kind in ("tasks", "starts"):
        entries = content.get(kind)
        for entry in entries.values() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("config"), str):
                entry["config"] = _anchored(entry["config"], file)
    yield content


def _by_name(listed: list[Any], location: str) -> dict[str, Any]:
    """Return arms by their names; one without is called by the type of its selector."""
    named: dict[str, Any] = {}
    for node in listed:
        selector = node.get("selector") if isinstance(node, dict) else None
        name = node.get("name") if isinstance(node, dict) else None
        name = name or (selector.get("type") if isinstance(selector, dict) else None)
        if not isinstance(name, str) or name in named:
            raise ConfigError(f"{location}: every arm needs a name of its own, got {node!r}. Give it a name.")
        named[name] = {key: value for key, value in node.items() if key != "name"}
    return named


def _anchored(config: str, file: Path) -> str:
    path = os.path.normpath(file.parent / config)
    return path if "{system}" in config or (IN_PLUGIN not in config and Path(path).is_file()) else config


class _Reader:
    """Turn the merged content of a study's files into its plan."""

    def __init__(self, content: Mapping[str, Any], location: str) -> None:
        self.content, self.location = content, location
        self.seeds = seeds_of(content["seeds"], f"{location}: seeds")
        self.keep = numbers(content.get("keep", ()), f"{location}: keep")

    def study(self) -> Study:
        content, location = self.content, self.location
        arms = read_arms(content, location)
        if not isinstance(content["tasks"], dict) or not content["tasks"]:
            raise ConfigError(f"{location}: tasks must be a mapping with at least one entry, got {content['tasks']!r}.")
        starts: list[Start] = []
        for name, node in mapping(content.get("starts") or {}, f"{location}: starts").items():
            starts.append(self._start(name, node, {start.name for start in starts}))
        tasks: list[Task] = []
        for name, node in content["tasks"].items():
            known = {*(start.name for start in starts), *(task.name for task in tasks)}
            tasks.append(self._task(name, node, arms, known))
        reference = content.get("reference")
        if reference is not None and reference not in {arm.name for arm in arms}:
            raise ConfigError(f"{location}: reference: must be an arm, got {reference!r}. Name one of `arms`.")
        if self.keep and reference is None:
            raise ConfigError(f"{location}: reference: keep ratios are those of an arm, got none. Name one of `arms`.")
        _check_names(location, [arm.name for arm in arms])
        _check_names(location, [task.name for task in tasks], [start.name for start in starts])
        return Study(
            title=str(content["title"]),
            arms=arms,
            tasks=tuple(tasks),
            starts=tuple(starts),
            reference=reference,
            tolerance=number(content.get("tolerance", 0.03), f"{location}: tolerance"),
            plugins=words(content.get("plugins", ()), f"{location}: plugins"),
            order=words(content.get("order", ()), f"{location}: order"),
            # Without ratios, later tasks start from the arms of earlier ones.
            keep_checkpoints=flag(content.get("keep_checkpoints", reference is None), f"{location}: keep_checkpoints"),
            started_from=tuple(task.name for task in tasks if task.name in {other.start for other in tasks}),
        )

    def _start(self, name: str, node: Any, known: set[str]) -> Start:
        location = f"{self.location}: starts.{name}"
        check_keys(node, location, _START, {"config"})
        seeds = seeds_of(node.get("seeds", self.seeds), f"{location}.seeds")
        start = _known_start(node, known, "an entry of starts listed before it", location)
        return Start(str(name), self._training(node, location, ("",)), seeds, start)

    def _training(self, node: Mapping[str, Any], location: str, systems: tuple[str, ...]) -> Training:
        validate = node.get("validate", self.content.get("validate")) or {}
        check_keys(validate, f"{location}.validate", {"every", "samples"}, set())
        for system in systems:
            config = _config_of(node["config"], system, f"{location}.config")
            try:
                find_config(config)
            except ConfigError as error:
                raise ConfigError(f"{location}.config: no such file, {config}. {error}") from error
        return Training(
            config=str(node["config"]),
            overrides=words(node.get("overrides", ()), f"{location}.overrides"),
            steps=whole(node.get("steps", self.content.get("steps")), f"{location}.steps"),
            every=whole(validate.get("every"), f"{location}.validate.every"),
            samples=whole(validate.get("samples"), f"{location}.validate.samples"),
        )

    def _task(self, name: str, node: Any, arms: tuple[Arm, ...], known: set[str]) -> Task:
        location = f"{self.location}: tasks.{name}"
        check_keys(node, location, _TASK, {"config"})
        start = _known_start(node, known, "an entry of starts or a task listed before it", location)
        nodes = node.get("runs", [{}])
        if not isinstance(nodes, list):
            raise ConfigError(f"{location}.runs: must be a list of mappings, got {nodes!r}.")
        grids = tuple(self._grid(node, grid, f"{location}.runs.{i}", arms) for i, grid in enumerate(nodes))
        return Task(
            name=str(name),
            training=self._training(node, location, tuple(arm.system for arm in arms)),
            start=start,
            grids=grids,
            figures=tuple(_figures(mapping(node.get("figures") or {}, f"{location}.figures"), location)),
            note=str(node.get("note", "")),
            alone=flag(node.get("alone", False), f"{location}.alone"),
            wrong_text=flag(node.get("wrong_text", True), f"{location}.wrong_text"),
        )

    def _grid(self, task: Mapping[str, Any], node: Any, location: str, arms: tuple[Arm, ...]) -> Grid:
        check_keys(node, location, _GRID, set())
        known = [arm.name for arm in arms]
        chosen = words(node.get("arms", task.get("arms", known)), f"{location}.arms")
        if set(chosen) - set(known):
            raise ConfigError(f"{location}.arms: must be some of {', '.join(known)}, got {', '.join(chosen)}.")
        return Grid(
            arms=chosen,
            keep=numbers(node.get("keep", task.get("keep", self.keep)), f"{location}.keep"),
            seeds=seeds_of(node.get("seeds", task.get("seeds", self.seeds)), f"{location}.seeds"),
        )


def _known_start(node: Mapping[str, Any], known: set[str], allowed: str, location: str) -> str | None:
    start = node.get("start")
    if start is not None and start not in known:
        raise ConfigError(f"{location}.start: must be {allowed}, got {start!r}. Change the order, or leave start out.")
    return start


def _figures(nodes: Any, location: str) -> Iterator[Figure]:
    for label, entry in nodes.items():
        check_keys(entry, f"{location}.figures.{label}", _FIGURE, {"metric"})
        metrics = entry["metric"] if isinstance(entry["metric"], list) else [entry["metric"]]
        times = number(entry.get("times", 1.0), f"{location}.figures.{label}.times")
        digits = int(number(entry.get("digits", 1), f"{location}.figures.{label}.digits"))
        yield Figure(str(label), tuple(metrics), entry.get("baseline"), times, digits)


def _config_of(config: Any, system: str, location: str) -> str:
    try:
        return str(config.format(system=system))
    except (AttributeError, LookupError, ValueError) as error:
        raise ConfigError(
            f"{location}: must be a path or name of a config, in which braces hold {{system}} only, got {config!r}."
        ) from error


def _check_names(location: str, *groups: list[str]) -> None:
    """Refuse names that would share a folder, or have none: no two of all groups may become the same one."""
    names = [name for group in groups for name in group]
    folders = [safe(name) for name in names]
    # Some file systems take "full" and "Full" for one folder.
    alike = [folder.casefold() for folder in folders]
    if len(set(alike)) < len(alike) or START in alike:
        raise ConfigError(
            f"{location}: names of arms, tasks and starts become names of folders, with {SAFE} for all but letters, "
            f"digits and '.-+': each must be its own, also without capitals, and none '{START}', got "
            f"{', '.join(names)}. Rename one."
        )
    for name, folder in zip(names, folders, strict=True):
        if not folder.strip(".") or len(folder.encode()) > _LONGEST:
            raise ConfigError(
                f"{location}: must be the name of a folder, of 1 to {_LONGEST} bytes and not of dots only, got "
                f"{name!r}. Rename it."
            )
