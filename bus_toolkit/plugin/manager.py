"""Find plugins, load each for itself, and keep note of how that went.

A plugin is an entry point of the group ``bus_toolkit`` that names a module with hooks (``bus_toolkit/plugin/spec.py``).
One that fails is undone and reported; it stops a run only if the run names it. In the environment, ``BUS_PLUGINS=a,b``
uses only these and ``BUS_PLUGINS=`` none.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, distributions, entry_points, version
from pathlib import Path
from typing import Any

import pluggy

from bus_toolkit.errors import PluginError
from bus_toolkit.plugin import builtin, spec
from bus_toolkit.plugin.spec import GROUP
from bus_toolkit.registry import REGISTRIES, RUNNER_REGISTRIES, Registries, plain, registering
from bus_toolkit.signatures import did_you_mean

BUILTINS = "bus_toolkit"
SWITCH = "BUS_PLUGINS"
_log = logging.getLogger(__name__)


@dataclass
class PluginRecord:
    """What is known about a plugin.

    Attributes:
        name: Name of its entry point.
        distribution: What was installed, with its version.
        status: ``loaded``, ``failed`` or ``off`` (switched off by the environment).
        components: What it registered, as ``<kind> <name>``.
        error: The traceback of its failure.
    """

    name: str
    distribution: str
    status: str = "off"
    components: list[str] = field(default_factory=list)
    error: str = ""


class PluginHost:
    """The plugins of a process and the registries they fill.

    Args:
        registries: Where parts are registered.
        discover: Returns the entry points.
        environ: Where ``BUS_PLUGINS`` is looked up.
        builtins: The module with the built-in parts.
    """

    def __init__(
        self,
        registries: Registries,
        discover: Callable[[], Iterable[EntryPoint]] = lambda: entry_points(group=GROUP),
        environ: Mapping[str, str] = os.environ,
        builtins: Any = builtin,  # noqa: ANN401 (a module)
    ) -> None:
        self.registries, self.discover, self.environ = registries, discover, environ
        self.builtins = builtins
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
                self._load_all()
                self._is_loaded = True
            finally:
                self._is_loading = False
        chosen = self._chosen() or []
        problems = [self._problem(name, SWITCH) for name in dict.fromkeys(chosen)]
        problems += [self._problem(name, "plugins") for name in dict.fromkeys(required) if name not in chosen]
        if any(problems):
            raise PluginError("\n".join(filter(None, problems)))
        return self.manager

    def call(self, hook: str, name: str, **arguments: Any) -> Any:  # noqa: ANN401
        """Call ``hook`` of the one plugin ``name``; None if it does not implement it."""
        others = [p for other, p in self.manager.list_name_plugin() if other != name]
        results = self.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        return results[0] if results else None

    def adjust(self, config: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
        """Return ``config`` after all ``adjust_config`` and ``runner_hooks``; a plugin that fails changes nothing.

        Raises:
            PluginError: A plugin in ``required`` fails.
        """
        for name, record in self.records.items():
            if record.status != "loaded":
                continue
            changed = plain(config)
            try:
                self.call("adjust_config", name, config=changed)
                _add_hooks(changed, self.call("runner_hooks", name, config=changed) or ())
            except Exception as error:
                record.status, record.error = "failed", traceback.format_exc()
                if name in required:
                    raise PluginError(f"plugins: '{name}' fails on this config ({error!r}). {_ASK}") from error
                _log.warning("Plugin '%s' fails on this config and is left out (%r). %s", name, error, _ASK)
                continue
            config = changed
        return config

    def _load_all(self) -> None:
        message = conflicting_hosts()
        if message:
            _log.warning("%s", message)
        for parts in self.registries.all():
            parts.clear()  # of a first attempt that failed
        with registering(BUILTINS):
            self.builtins.register_components(registries=self.registries)
        self.manager.register(self.builtins, BUILTINS)
        self.records[BUILTINS] = PluginRecord(
            BUILTINS, _version(BUILTINS), "loaded", sorted(_components(self.registries))
        )
        chosen = self._chosen()
        for entry in sorted(self.discover(), key=lambda e: e.name):
            if entry.name in self.records:
                _log.warning("Two plugins are named '%s'; the one in %s is left out.", entry.name, _distribution(entry))
                continue
            record = self.records[entry.name] = PluginRecord(entry.name, _distribution(entry))
            if chosen is None or entry.name in chosen:
                self._load_one(entry, record)

    def _load_one(self, entry: EntryPoint, record: PluginRecord) -> None:
        before = _components(self.registries)
        try:
            with registering(f"plugin {entry.name}"):
                module = entry.load()
                self.manager.register(module, entry.name)
                self.manager.check_pending()
                if not self.manager.get_hookcallers(module):
                    raise PluginError(f"{entry.value} implements no hook. Mark a function with @bus_toolkit.hookimpl.")
                self.call("register_components", entry.name, registries=self.registries)
        except (Exception, SystemExit):
            record.status, record.error = "failed", traceback.format_exc()
            if self.manager.has_plugin(entry.name):
                self.manager.unregister(name=entry.name)
            _undo(self.registries, before)
            _log.debug("Plugin '%s' failed to load.\n%s", entry.name, record.error)
        else:
            record.status = "loaded"
            record.components = sorted(_components(self.registries).keys() - before.keys())

    def _chosen(self) -> list[str] | None:
        switch = self.environ.get(SWITCH)
        return None if switch is None else [name.strip() for name in switch.split(",") if name.strip()]

    def missing(self) -> list[str]:
        """Return what is wrong with names in ``BUS_PLUGINS`` that no installed plugin has."""
        return [self._problem(name, SWITCH) for name in self._chosen() or () if name not in self.records]

    def _problem(self, name: str, where: str) -> str:
        record = self.records.get(name)
        if record is None:
            in_tree = [p.name for p in _IN_TREE.glob("*") if (p / "pyproject.toml").is_file()]
            hint = "" if name in in_tree else did_you_mean(name, [*self.records, *in_tree])
            todo = "Install the package that brings it, or correct the name"
            if name in in_tree:
                todo = f"Run: pip install -e plugins/{name}"
            elif where == SWITCH:
                todo += f", or unset {SWITCH}"
            return f"{where}: plugin '{name}' is not installed.{hint} {todo}."
        if record.status == "off":
            switch = f"{SWITCH}={self.environ.get(SWITCH)}"
            return f"{where}: '{name}' is switched off by {switch}. Add it there, or unset {SWITCH}."
        if record.status == "failed":
            return f"{where}: '{name}' ({record.distribution}) failed to load: {_reason(record)} {_ASK}"
        return ""


_ASK = "`bus-toolkit describe plugins` shows the traceback."
_IN_TREE = Path(__file__).parents[2] / "plugins"
_HOST = PluginHost(REGISTRIES)


def failed_plugins() -> list[str]:
    """Return one sentence for each plugin that could not be loaded, whose parts a config may miss."""
    return [
        f"plugins: what '{record.name}' registers is missing, because it failed: {_reason(record)} {_ASK}"
        for record in _HOST.records.values()
        if record.status == "failed"
    ]


def missing_plugins() -> list[str]:
    """Return one sentence for each name in ``BUS_PLUGINS`` that no installed plugin has."""
    return _HOST.missing()


def load_plugins(required: Sequence[str] = ()) -> pluggy.PluginManager:
    """Load the built-in parts and all installed plugins; calling it again costs nothing.

    Raises:
        PluginError: A plugin in ``required`` cannot be used.
    """
    return _HOST.load(required)


def list_plugins() -> list[PluginRecord]:
    """Return what is known about every installed plugin, the built-ins first; never fails because of one."""
    try:
        _HOST.load()
    except PluginError:
        _log.debug("BUS_PLUGINS names a plugin that cannot be used", exc_info=True)
    return list(_HOST.records.values())


def adjust_with_plugins(config: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """Return ``config`` after the plugins' ``adjust_config`` and ``runner_hooks``."""
    _HOST.load(required)
    return _HOST.adjust(config, required)


def plugin_config_folders(name: str) -> list[Path]:
    """Return the folders of YAML files that the plugin ``name`` brings.

    Raises:
        PluginError: It cannot be used.
    """
    _HOST.load([name])
    return [Path(folder) for folder in _HOST.call("config_folders", name) or ()]


def conflicting_hosts() -> str:
    """Return what to do about OpenMMLab's original distributions, or nothing if there are none.

    They install into the same folders as the maintained builds.
    """
    installed = {str(d.metadata["Name"]).lower() for d in distributions()}
    clash = [name for name in ("mmengine", "mmcv", "mmcv-lite", "mmcv-full", "mmpretrain") if name in installed]
    if not clash:
        return ""
    ours = ["onedl-mmengine", "onedl-mmcv", "onedl-mmpretrain"]
    return (
        f"OpenMMLab is installed from its original distributions ({', '.join(clash)}), whose files mix with "
        f"those of the maintained builds. Run: pip uninstall -y {' '.join(clash)} && "
        f"pip install --force-reinstall --no-deps {' '.join(ours)}"
    )


def _add_hooks(config: dict[str, Any], hooks: Iterable[dict[str, Any]]) -> None:
    present = config.get("custom_hooks") or []
    new = [hook for hook in plain(list(hooks)) if hook not in present]
    if new:
        config["custom_hooks"] = [*present, *new]


def _components(registries: Registries) -> dict[str, tuple[dict[str, Any], str]]:
    """Return, for all that is registered, the table that holds it and its key there."""
    tables: list[tuple[str, dict[str, Any]]] = [(r.kind, r.entries) for r in registries.all()]
    tables += [(r.name, r.module_dict) for r in RUNNER_REGISTRIES]
    return {f"{kind} {name}": (table, name) for kind, table in tables for name in table}


def _undo(registries: Registries, before: Mapping[str, Any]) -> None:
    for key, (table, name) in _components(registries).items():
        if key not in before:
            del table[name]


def _reason(record: PluginRecord) -> str:
    return record.error.strip().splitlines()[-1].rstrip(".") + "."


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution
