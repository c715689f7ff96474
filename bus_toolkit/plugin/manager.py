"""Find plugins, load each for itself, and record how that went.

A plugin is an entry point of the group ``bus_toolkit`` that names a module with hooks (``bus_toolkit/plugin/spec.py``).
One that fails is undone and reported; it stops a run only if the run names it. In the environment, ``BUS_PLUGINS=a,b``
uses only these and ``BUS_PLUGINS=`` none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from bus_toolkit.errors import PluginError, Problem
from bus_toolkit.plugin import builtin, spec
from bus_toolkit.plugin.conflicts import conflicting_builds
from bus_toolkit.plugin.records import (
    ASK,
    SWITCH,
    PluginRecord,
    chosen_plugins,
    distribution_of,
    usability_problems,
    versioned,
)
from bus_toolkit.plugin.spec import GROUP
from bus_toolkit.quiet_import import import_mmpretrain_quietly, rare_collections
from bus_toolkit.registry import CONDITIONING_MODES, REGISTRIES, RUNNER_REGISTRIES, Registries, plain, registering
from bus_toolkit.signatures import did_you_mean

BUILTINS = "bus_toolkit"
_log = logging.getLogger(__name__)


class PluginLoader:
    """The plugins of a process and the registries they fill.

    Args:
        registries: Parts are registered in these.
        discover: Returns the entry points.
        environ: The environment that ``BUS_PLUGINS`` is read from.
        builtins: The module with the built-in parts.
    """

    def __init__(
        self,
        registries: Registries,
        discover: Callable[[], Iterable[EntryPoint]] = lambda: entry_points(group=GROUP),
        environ: Mapping[str, str] = os.environ,
        builtins: Any = builtin,
    ) -> None:
        self.registries, self.discover, self.environ, self.builtins = registries, discover, environ, builtins
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(spec)
        self.records: dict[str, PluginRecord] = {}
        self._is_loading = self._is_loaded = False

    def load(self, required: Sequence[str] = ()) -> pluggy.PluginManager:
        """Load the built-ins and every plugin that is on, once; return pluggy's manager.

        Raises:
            PluginError: One of ``required``, or of those that ``BUS_PLUGINS`` names, is not installed, off or broken.
        """
        if self._is_loading:
            return self.manager
        if not self._is_loaded:
            self._is_loading = True
            try:
                with rare_collections():
                    self._load_all()
                self._is_loaded = True
            finally:
                self._is_loading = False
        chosen = chosen_plugins(self.environ) or []
        asked = dict.fromkeys(chosen, SWITCH) | {name: "plugins" for name in required if name not in chosen}
        problems = usability_problems(asked, self.records, self.environ)
        if problems:
            raise PluginError(problems)
        return self.manager

    def call(self, hook: str, name: str, **arguments: Any) -> Any:
        """Call ``hook`` of the one plugin ``name``; None if it does not implement it."""
        others = [p for other, p in self.manager.list_name_plugin() if other != name]
        results = self.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        return results[0] if results else None

    def adjust(self, config: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
        """Return ``config`` after all ``adjust_config`` and ``runner_hooks``; a plugin that fails changes nothing.

        Raises:
            PluginError: A plugin in ``required`` fails.
        """
        loaded = {name: record for name, record in self.records.items() if record.status == "loaded"}
        for name, record in loaded.items():
            changed = plain(config)
            try:
                self.call("adjust_config", name, config=changed)
                _add_hooks(changed, self.call("runner_hooks", name, config=changed) or ())
            except (Exception, SystemExit) as error:
                record.fail(error)
                if name in required:
                    text = f"'{name}' fails on this config ({error!r}). {ASK}"
                    raise PluginError(Problem("plugins", text)) from error
                _log.warning("Plugin '%s' fails on this config and is left out (%r). %s", name, error, ASK)
            else:
                config = changed
        return config

    def _load_all(self) -> None:
        import_mmpretrain_quietly()
        if message := conflicting_builds():
            _log.warning("%s", message)
        for parts in self.registries.all():
            parts.entries.clear()  # of a first attempt that failed
        with registering(BUILTINS):
            self.builtins.register_components(registries=self.registries)
        self.manager.register(self.builtins, BUILTINS)
        components = sorted(_components(self.registries))
        self.records[BUILTINS] = PluginRecord(BUILTINS, versioned(BUILTINS), "loaded", components)
        chosen = chosen_plugins(self.environ)
        for entry in sorted(self.discover(), key=lambda e: e.name):
            package = distribution_of(entry)
            if entry.name in self.records:
                _log.warning("Two plugins are named '%s'; the one in %s is left out.", entry.name, package)
                continue
            self.records[entry.name] = PluginRecord(entry.name, package)
            if chosen is None or entry.name in chosen:
                self._load_one(entry, self.records[entry.name])

    def _load_one(self, entry: EntryPoint, record: PluginRecord) -> None:
        before = _components(self.registries)
        try:
            # What a plugin prints is no part of a command's output, which a program may read.
            with registering(f"plugin {entry.name}"), contextlib.redirect_stdout(sys.stderr):
                module = entry.load()
                self.manager.register(module, entry.name)
                _check_hook_names(module)
                self.manager.check_pending()
                if not self.manager.get_hookcallers(module):
                    raise PluginError(f"{entry.value} implements no hook. Mark a function with @bus_toolkit.hookimpl.")
                self.call("register_components", entry.name, registries=self.registries)
        except KeyboardInterrupt:
            # Of a user, or of the plugin itself: either way its name says what took long, or what to take out.
            _log.warning(
                "Interrupted while plugin '%s' (%s) was loaded. BUS_PLUGINS= leaves all out.",
                entry.name,
                record.distribution,
            )
            raise
        except (Exception, SystemExit) as error:
            record.fail(error)
            if self.manager.has_plugin(entry.name):
                self.manager.unregister(name=entry.name)
            _undo(self.registries, before)
            _log.debug("Plugin '%s' failed to load.\n%s", entry.name, record.error)
        else:
            record.status = "loaded"
            record.components = sorted(_components(self.registries).keys() - before.keys())

    def missing(self) -> list[Problem]:
        """Return one problem for each name in ``BUS_PLUGINS`` that no installed plugin has."""
        unknown = {name: SWITCH for name in chosen_plugins(self.environ) or () if name not in self.records}
        return usability_problems(unknown, self.records, self.environ)


_LOADER = PluginLoader(REGISTRIES)


def failed_plugins() -> list[Problem]:
    """Return one problem for each plugin that could not be loaded, whose parts a config may miss."""
    return [
        Problem("plugins", f"the parts of '{record.name}' are missing, because it failed: {record.reason} {ASK}")
        for record in _LOADER.records.values()
        if record.status == "failed"
    ]


def missing_plugins() -> list[Problem]:
    """Return one problem for each name in ``BUS_PLUGINS`` that no installed plugin has."""
    return _LOADER.missing()


def load_plugins(required: Sequence[str] = ()) -> pluggy.PluginManager:
    """Load the built-in parts and all installed plugins; calling it again costs nothing.

    Raises:
        PluginError: A plugin in ``required`` cannot be used.
    """
    return _LOADER.load(required)


def list_plugins() -> list[PluginRecord]:
    """Return what is known about every installed plugin, the built-ins first; never fails because of one."""
    try:
        _LOADER.load()
    except PluginError:
        _log.debug("BUS_PLUGINS names a plugin that cannot be used", exc_info=True)
    return list(_LOADER.records.values())


def adjust_with_plugins(config: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """Return ``config`` after the plugins' ``adjust_config`` and ``runner_hooks``."""
    _LOADER.load(required)
    return _LOADER.adjust(config, required)


def plugin_config_folders(name: str) -> list[Path]:
    """Return the folders of YAML files that the plugin ``name`` brings.

    Raises:
        PluginError: It cannot be used.
    """
    _LOADER.load([name])
    return [Path(folder) for folder in _LOADER.call("config_folders", name) or ()]


def _add_hooks(config: dict[str, Any], hooks: Iterable[dict[str, Any]]) -> None:
    present = config.get("custom_hooks") or []
    new = [hook for hook in plain(list(hooks)) if hook not in present]
    if new:
        config["custom_hooks"] = [*present, *new]


def _components(registries: Registries) -> dict[str, tuple[dict[str, Any], str]]:
    """Return, for all that is registered, the table that holds it and its key there."""
    tables: list[tuple[str, dict[str, Any]]] = [(r.kind, r.entries) for r in registries.all()]
    tables += [(r.name, r.module_dict) for r in RUNNER_REGISTRIES]
    tables += [("conditioning mode", CONDITIONING_MODES)]
    return {f"{kind} {name}": (table, name) for kind, table in tables for name in table}


def _undo(registries: Registries, before: Mapping[str, Any]) -> None:
    for key, (table, name) in _components(registries).items():
        if key not in before:
            del table[name]


def _check_hook_names(module: Any) -> None:
    """Refuse a misspelt hook with the nearest name; pluggy's own message gives none."""
    hooks = [name for name in vars(spec) if hasattr(getattr(spec, name), f"{GROUP}_spec")]
    for name, function in vars(module).items():
        if hasattr(function, f"{GROUP}_impl") and name not in hooks:
            raise PluginError(f"unknown hook '{name}'.{did_you_mean(name, hooks)} Hooks: {', '.join(hooks)}.")
