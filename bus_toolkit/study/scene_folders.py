"""Folders of generated scenes that several jobs of a study read: one folder holds scenes of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.data.scenes.cache import scene_folder
from bus_toolkit.data.scenes.families import DEFAULT_FAMILY, parse_settings
from bus_toolkit.errors import ConfigError

_TYPES = {"SceneDataset", "SceneTask"}
_PLACE = ("data_root", "split", "num_images")


class SceneFolders:
    """What each folder holds for the jobs that were checked."""

    def __init__(self) -> None:
        self._first: dict[Path, tuple[Any, str]] = {}

    def check(self, config: Mapping[str, Any], location: str) -> None:
        """Refuse a job whose scenes would replace those of another one.

        Args:
            config: That of the job, whole.
            location: Its name, for messages.

        Raises:
            ConfigError: A folder would hold other scenes than for a job before it, or settings are wrong.
        """
        for node in _scene_nodes(config):
            folder = scene_folder(*(node[key] for key in _PLACE))
            settings = parse_settings(node.get("family", DEFAULT_FAMILY), node.get("scenes"))
            first, job = self._first.setdefault(folder, (settings, location))
            if first != settings:
                raise ConfigError(
                    f"{location}: its scenes would replace those of {job} in {folder}: their settings differ. Give one "
                    "of the two tasks a data_root of its own."
                )


def _scene_nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if str(value.get("type")).rpartition(".")[2] in _TYPES and all(key in value for key in _PLACE):
            yield value
        for part in value.values():
            yield from _scene_nodes(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _scene_nodes(part)
