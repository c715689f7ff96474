"""Find a config file and the files it is based on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import ConfigError
from bus_toolkit.signatures import did_you_mean

BASE = "_base_"
IN_PLUGIN = "::"


def read_chain(path: str | Path, _open: tuple[Path, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yield the mappings of a file's bases, depth first, then its own: later ones go over earlier ones.

    ``_base_`` is a path or a list of paths, relative to the file, or ``<plugin>::<file>``. Unlike in MMEngine, bases
    may share top-level keys: they are merged in their order.

    Raises:
        ConfigError: A file that cannot be read, or that is its own base.
    """
    file = _locate(path).resolve()
    if file in _open:
        way = " -> ".join(p.name for p in (*_open, file))
        raise ConfigError(f"{file}: {BASE} leads back to this file ({way}). Remove one of them.")
    data = read_yaml(file)
    bases = data.pop(BASE, [])
    for base in [bases] if isinstance(bases, str) else bases:
        if not isinstance(base, str):
            raise ConfigError(f"{file}: {BASE} must be a path or a list of paths, got {base!r}.")
        target = base if IN_PLUGIN in base else os.path.normpath(file.parent / Path(base).expanduser())
        yield from read_chain(target, (*_open, file))
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


def _locate(path: str | Path) -> Path:
    if IN_PLUGIN not in str(path):
        file = Path(path).expanduser()
        if not file.is_file():
            raise ConfigError(f"{path}: no such config file.{_nearest_file(file)} Give the path of a YAML file.")
        return file
    from bus_toolkit.plugins import plugin_config_folders

    name, _, rest = str(path).partition(IN_PLUGIN)
    folders = plugin_config_folders(name)
    for folder in folders:
        file = (folder / rest).resolve()
        if file.is_file() and file.is_relative_to(folder.resolve()):
            return file
    looked = ", ".join(map(str, folders)) or f"none: '{name}' adds no config folder"
    raise ConfigError(f"{path}: no such config file. Folders looked at: {looked}.")


def _nearest_file(file: Path) -> str:
    if not file.parent.is_dir():
        return f" There is no folder {file.parent}."
    return did_you_mean(file.name, (p.name for p in file.parent.glob("*.y*ml")))
