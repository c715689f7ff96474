"""The arms, tasks and keep ratios that a study has, for what its report says about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bus_toolkit.errors import ConfigError


class StudyNames:
    """Refuses names that a study does not have; one without arms or tasks reports ready results and has any.

    An arm or task that is set to null in a study based on another one may still be named.

    Args:
        content: Of the study's files, merged.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.arms = list(map(str, content.get("arms") or ()))
        tasks = content.get("tasks")
        self.ratios = {str(name): _ratios(node, content) for name, node in _items(tasks)}

    def check_arms(self, named: Iterable[Any], location: str) -> None:
        """Refuse an arm that the study does not have.

        Raises:
            ConfigError: There is one.
        """
        for arm in named:
            _check(str(arm), self.arms, "arms of the study", location)

    def check_tasks(self, named: Iterable[Any], location: str) -> None:
        """Refuse a task that the study does not have.

        Raises:
            ConfigError: There is one.
        """
        for task in named:
            _check(str(task), list(self.ratios), "tasks of the study", location)

    def check_ratio(self, task: str, keep: float, location: str) -> None:
        """Refuse a task that the study does not have, or one that does not run at a keep ratio.

        Raises:
            ConfigError: It is one of these.
        """
        self.check_tasks([task], location)
        _check(str(keep), self.ratios.get(task, []), f"keep ratios of the task {task}", location)


def _items(node: Any) -> Iterable[tuple[Any, Any]]:
    return node.items() if isinstance(node, dict) else ()


def _ratios(task: Any, content: Mapping[str, Any]) -> list[str]:
    """Return the keep ratios of a task; empty if it has none."""
    if not isinstance(task, dict):
        return []
    runs = [run for run in task.get("runs") or [{}] if isinstance(run, dict)]
    listed = [run.get("keep", task.get("keep", content.get("keep"))) for run in runs]
    return list(dict.fromkeys(str(keep) for keeps in listed for keep in keeps or ()))


def _check(name: str, known: list[str], what: str, location: str) -> None:
    if known and name not in known:
        raise ConfigError(f"{location}: must be {what}, got {name!r}. It has {', '.join(known)}.")
