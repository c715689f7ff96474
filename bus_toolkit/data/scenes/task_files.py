"""Questions, expressions and statements about scenes, as the public files of their tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.data.scenes.expressions import expression_files
from bus_toolkit.data.scenes.plan import PlannedScene
from bus_toolkit.data.scenes.question_files import question_files
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.statements import statement_files

TaskFiles = Callable[[str, Sequence[PlannedScene], SceneSettings], dict[str, Any]]
"""Split, scenes and settings to file name and content."""

_TASKS: tuple[TaskFiles, ...] = (question_files, expression_files, statement_files)


def write_task_files(folder: Path, split: str, planned: Sequence[PlannedScene], settings: SceneSettings) -> list[str]:
    """Write the files of all tasks of a split into ``folder``; return their names."""
    files: dict[str, Any] = {}
    for task in _TASKS:
        files |= task(split, planned, settings)
    return write_json_files(folder, files)


def write_json_files(folder: Path, files: Mapping[str, Any]) -> list[str]:
    """Write file name to content into ``folder``; a list under a name ending in ``.jsonl`` is one row a line."""
    for name, content in files.items():
        rows = content if name.endswith(".jsonl") else [content]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")
    return list(files)
