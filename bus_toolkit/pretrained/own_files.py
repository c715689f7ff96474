"""Files that the config of a saved model names lie beside it: put there, and found there again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from bus_toolkit.errors import CheckpointError
from bus_toolkit.signatures import at

_SECTIONS = ("model", "test_dataloader")
_FOLDERS, _FILES = ("folder",), ("checkpoint", "answers")


def file_settings(config: Any, path: str = "") -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield each setting of a model or its pipeline that names a file or a folder: its mapping, key and YAML path.

    These are ``folder``, ``checkpoint``, ``answers`` that are no list, and all keys that end in ``_file``, as the parts
    of this toolkit call them.
    """
    if isinstance(config, dict):
        for key, value in config.items():
            here = at(path, key)
            if path == "" and key not in _SECTIONS:
                continue
            if key == "ann_file":  # of a table that a user names for a test
                continue
            if isinstance(value, str) and (key in (*_FOLDERS, *_FILES) or key.endswith("_file")):
                yield config, key, here
            else:
                yield from file_settings(value, here)
    elif isinstance(config, list):
        for number, value in enumerate(config):
            yield from file_settings(value, at(path, number))


def set_paths(config: dict[str, Any], folder: Path, names: Collection[str]) -> None:
    """Let settings that name files of a saved model lead into its folder.

    Args:
        config: The content of its ``config.yaml``; changed in place.
        folder: Where it lies.
        names: The files of the index.

    Raises:
        CheckpointError: A setting names another place: a model from elsewhere could read any file of this machine.
    """
    folders = {name.split("/")[0] for name in names if "/" in name}
    for node, key, path in file_settings(config):
        known: Callable[[str], bool] = folders.__contains__ if key in _FOLDERS else names.__contains__
        if not known(node[key]):
            raise CheckpointError(
                f"{folder}: {path}: a saved model reads its own files alone, got {node[key]!r}. Save the model again, "
                "or set the value when it is loaded (cfg_options, --cfg-options)."
            )
        node[key] = str(folder / node[key])
