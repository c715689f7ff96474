"""From a YAML file to a checked config that MMEngine's Runner takes.

read (safe YAML 1.2, ``_base_``) -> merge (a new ``type`` swaps the part) -> overrides -> settings filled in ->
plugins' adjustments -> check (all mistakes at once) -> scopes -> ``mmengine.config.Config``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from bus_toolkit.config.check import DEFAULT_SCOPE, check_config
from bus_toolkit.config.earlier import follow_earlier
from bus_toolkit.config.files import IN_PLUGIN, find_config, plugins_of, read_chain
from bus_toolkit.config.merge import merge_chain
from bus_toolkit.config.nodes import REMOVED_BY_NULL
from bus_toolkit.config.overrides import Overrides, apply_overrides, parse_overrides
from bus_toolkit.config.settings import fill_in_settings
from bus_toolkit.config.slots import scoped, slot_at
from bus_toolkit.config.yaml_text import dump_yaml, parse_mapping
from bus_toolkit.errors import ConfigError, ProblemKind
from bus_toolkit.plugin.manager import adjust_with_plugins, failed_plugins, load_plugins
from bus_toolkit.registry import plain
from bus_toolkit.shipped import list_configs
from bus_toolkit.signatures import at
from bus_toolkit.writing import write_whole

__all__ = [
    "config_text",
    "dump_config",
    "dump_yaml",
    "list_configs",
    "load_config",
    "load_config_text",
]
_log = logging.getLogger(__name__)


def load_config(path: str | Path, overrides: Overrides = ()) -> Config:
    """Read a YAML file with its bases, apply overrides, check everything.

    Args:
        path: The file; the name of one that ships with the toolkit, such as ``bus/bus_scenes_tiny`` (see
            :func:`list_configs`), where no such file exists; or ``<plugin>::<file>`` for one that a plugin brings.
        overrides: ``a.b.0.c=value`` words as on the command line, or a mapping of such paths to values.

    Returns:
        A config for ``mmengine.runner.Runner.from_cfg``; types that this toolkit registers with MMEngine carry
        its scope.

    Raises:
        ConfigError: Anything wrong with it; all mistakes of one stage at once, each with its YAML path.
        PluginError: A plugin that it names cannot be used.
    """
    if IN_PLUGIN in str(path):
        load_plugins([str(path).split(IN_PLUGIN)[0]])
    config = _resolve(list(read_chain(path)), path, overrides)
    file = None if IN_PLUGIN in str(path) else str(find_config(path))
    return _as_openmmlab(config, file)


def load_config_text(text: str, location: str, overrides: Overrides = (), *, file: str | None = None) -> Config:
    """Do the same with the text of a config that has no ``_base_``, as :func:`dump_config` writes it.

    Args:
        text: YAML.
        location: Where it comes from, for messages.
        overrides: As of :func:`load_config`.
        file: The file that the text is of, if it is of one.

    Raises:
        ConfigError: As :func:`load_config`.
        PluginError: As :func:`load_config`.
    """
    return _as_openmmlab(_resolve([parse_mapping(text, location)], location, overrides), file)


def _resolve(chain: list[dict[str, Any]], path: str | Path, overrides: Overrides) -> dict[str, Any]:
    """Return the checked config that the mappings of ``chain`` and the overrides make."""
    pairs = parse_overrides(overrides)
    chosen = [{"plugins": value} for key, value in pairs if key == "plugins"]
    load_plugins(plugins_of([*chain, *chosen], path))
    config = merge_chain(chain)
    for note in follow_earlier(config):
        _log.warning("%s: was written by an earlier version. %s", path, note)
    problems = apply_overrides(config, pairs)
    problems += fill_in_settings(config)
    _remove_nulls(config)
    config = adjust_with_plugins(config, config.get("plugins") or ())
    config.setdefault("default_scope", DEFAULT_SCOPE)
    named = {problem.path for problem in problems}  # a reference to no setting is of the wrong kind too
    problems += [problem for problem in check_config(config) if problem.path not in named]
    if any(problem.kind is ProblemKind.UNKNOWN_TYPE for problem in problems):
        problems += failed_plugins()
    if problems:
        raise ConfigError(problems)
    _add_scopes(config)
    return config


def _as_openmmlab(config: dict[str, Any], file: str | None) -> Config:
    # Each checkpoint and log writes the config as Python; yapf would take a second to align it, each time.
    return Config(config, filename=file, format_python_code=False)


def dump_config(cfg: Config, path: str | Path) -> None:
    """Write ``cfg`` as YAML that :func:`load_config` reads back to an equal config; the file appears whole or not at
    all.
    """
    write_whole(path, config_text(cfg))


def config_text(cfg: Config) -> str:
    """Return ``cfg`` as YAML that :func:`load_config_text` reads back to an equal config."""
    return dump_yaml(plain(cfg.to_dict()))


def _remove_nulls(config: dict[str, Any]) -> None:
    """Take out what is null in a mapping whose names the user chooses: a head of a base, for example."""
    for path, node in list(_mappings(config, "")):
        if re.fullmatch(REMOVED_BY_NULL, path):
            for key in [key for key, value in node.items() if value is None]:
                del node[key]


def _add_scopes(config: dict[str, Any]) -> None:
    """Give our own Runner-level types the scope by which MMEngine finds them."""
    for path, node in list(_mappings(config, "")):
        slot = slot_at(path, config)
        if slot is not None and isinstance(slot.registry, Registry) and isinstance(node.get("type"), str):
            node["type"] = scoped(node["type"], slot.registry)


def _mappings(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        yield from _mappings(value, at(path, key))
