"""Find a config file and the files it is based on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import ConfigError, describe
from bus_toolkit.home import expand_home
from bus_toolkit.shipped import find_shipped, nearest_names
from bus_toolkit.signatures import did_you_mean

BASE = "_base_"
IN_PLUGIN = "::"


def find_config(path: str | Path, asked_by: Path | None = None) -> Path:
    """Return the file that ``path`` names, as seen from the folder of the file ``asked_by`` or the current one.

    It is a path; or, if there is no such file, the name (without suffix) of a config that ships with the toolkit; or
    ``<plugin>::<file>``.

    Raises:
        ConfigError: There is no such file, or ``path`` is something else.
        PluginError: The plugin cannot be used.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"config: must be the path or the name of a YAML file, got {describe(path)}.")
    if IN_PLUGIN in str(path):
        return _find_in_plugin(str(path))
    file = expand_home(path)
    if asked_by is not None:
        file = Path(os.path.normpath(asked_by.parent / file))
    config_file = file if file.is_file() else find_shipped(str(path))
    if config_file is None:
        hint = _nearest_file(file) or nearest_names(str(path)) or _missing_folder(file)
        asking = f" It is in {BASE} of {asked_by}." if asked_by is not None else ""
        raise ConfigError(
            f"{file}: no such config file.{asking}{hint} Give the path of a YAML file, or a name that "
            "`bus-toolkit configs` lists."
        )
    return config_file


def read_chain(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the mappings of a file's bases, depth first, then its own: later ones go over earlier ones.

    ``_base_`` is what :func:`find_config` takes, seen from the file's folder, or a list of such. Unlike in MMEngine,
    bases may share top-level keys: they are merged in their order.

    Raises:
        ConfigError: A file that cannot be read, or that is its own base.
    """
    yield from _read(find_config(path), ())


def _read(path: Path, opened: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    file = path.resolve()
    if file in opened:
        way = " -> ".join(p.name for p in (*opened, file))
        raise ConfigError(f"{file}: {BASE} leads back to this file ({way}). Remove one of them.")
    if file.suffix == ".py":
        raise ConfigError(
            f"{path}: this is a Python config of OpenMMLab, which can run any code; here a config is YAML, got .py. "
            "Run it with OpenMMLab's own tools, where custom_imports=dict(imports=['bus_toolkit.openmmlab']) adds our "
            "parts, or write a YAML file, e.g. with `_base_: bus/bus_scenes_tiny`."
        )
    data = read_yaml(file)
    if not data:
        raise ConfigError(
            f"{path}: the file is empty, got no key. Write a config, or e.g. `_base_: bus/bus_scenes_tiny` to start "
            "from one that ships."
        )
    bases = data.pop(BASE, [])
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise ConfigError(f"{file}: {BASE} must be a path or a list of paths, got {base!r}. Name a config.")
        yield from _read(find_config(base, file), (*opened, file))
    yield data


def plugins_of(chain: list[dict[str, Any]], path: str | Path) -> list[str]:
    """Return the plugins that the last mapping with a ``plugins`` key names, and the one that holds the file.

    Raises:
        ConfigError: It is not a list of names.
    """
    names = next((data["plugins"] for data in reversed(chain) if "plugins" in data), None) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"plugins: must be a list of names, got {names!r}. Write e.g. [bus_selector_saliency].")
    holder = [str(path).split(IN_PLUGIN)[0]] if IN_PLUGIN in str(path) else []
    return list(dict.fromkeys([*names, *holder]))


def _find_in_plugin(path: str) -> Path:
    from bus_toolkit.plugin.manager import plugin_config_folders

    name, _, rest = path.partition(IN_PLUGIN)
    folders = plugin_config_folders(name)
    for folder in folders:
        file = (folder / expand_home(rest)).resolve()
        if file.is_file() and file.is_relative_to(folder.resolve()):
            return file
    looked = ", ".join(map(str, folders)) or f"none: '{name}' adds no config folder"
    raise ConfigError(f"{path}: no such config file. Folders looked at: {looked}.")


def _nearest_file(file: Path) -> str:
    return did_you_mean(file.name, (p.name for p in file.parent.glob("*.y*ml")))


def _missing_folder(file: Path) -> str:
    return "" if file.parent.is_dir() else f" There is no folder {file.parent}."
