"""Read a saved model: its files are compared with the index, its plugins asked for, its config made whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.config import dump_yaml, load_config_text
from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import PluginError, Problem
from bus_toolkit.plugin.manager import load_plugins
from bus_toolkit.pretrained.layout import CONFIG, WEIGHTS, verified_index
from bus_toolkit.pretrained.own_files import set_paths


def read_saved(folder: Path, cfg_options: Sequence[str]) -> tuple[Any, Path]:
    """Return the loaded config of a saved model and the path of its weights; no code of the folder runs.

    Raises:
        CheckpointError: Files are missing, changed, or named outside of the folder.
        PluginError: A plugin whose parts it has cannot be used.
        ConfigError: Its config is wrong, or an option is.
    """
    index = verified_index(folder)
    _ask_for_plugins(folder, index.plugins)
    config = read_yaml(folder / CONFIG)
    set_paths(config, folder, index.files)
    file = str(folder / CONFIG)
    return load_config_text(dump_yaml(config), file, cfg_options, file=file), folder / WEIGHTS


def _ask_for_plugins(folder: Path, plugins: Mapping[str, str]) -> None:
    try:
        load_plugins(list(plugins))
    except PluginError as error:
        packages = ", ".join(plugins.values())
        first = f"has parts of plugins; when it was saved, {packages} brought them. These cannot be used here:"
        raise PluginError([Problem(str(folder), first), *error.problems]) from error
