"""The record of each plugin, and the error message for one that a run cannot use."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path

from bus_toolkit.errors import Problem
from bus_toolkit.signatures import did_you_mean

SWITCH = "BUS_PLUGINS"
ASK = "`bus-toolkit describe plugins` shows the traceback."
_IN_TREE = Path(__file__).parents[2] / "plugins"


@dataclass
class PluginRecord:
    """The record of a plugin.

    Attributes:
        name: Name of its entry point.
        distribution: The installed distribution, with its version.
        status: ``loaded``, ``failed`` or ``off`` (switched off by the environment).
        components: The parts that it registered, as ``<kind> <name>``.
        error: The traceback of its failure.
        reason: Kind and first line of the exception, as a sentence.
    """

    name: str
    distribution: str
    status: str = "off"
    components: list[str] = field(default_factory=list)
    error: str = ""
    reason: str = ""

    def fail(self, error: BaseException) -> None:
        """Note that the plugin failed, and why."""
        self.status, self.error = "failed", "".join(traceback.format_exception(error))
        first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        self.reason = ": ".join(filter(None, (type(error).__name__, first_line.rstrip(".:")))) + "."


def usability_problems(
    asked: Mapping[str, str], records: Mapping[str, PluginRecord], environ: Mapping[str, str]
) -> list[Problem]:
    """Return why plugins cannot be used.

    Args:
        asked: The key or variable that asks for a plugin, by the plugin's name.
        records: All installed plugins.
        environ: The environment, whose ``BUS_PLUGINS`` chooses.
    """
    problems = []
    for name, path in asked.items():
        record = records.get(name)
        if record is None:
            problems.append(Problem(path, _not_installed(name, records, path)))
        elif record.status == "off":
            switch = f"{SWITCH}={environ.get(SWITCH)}"
            problems.append(Problem(path, f"'{name}' is switched off by {switch}. Add it there, or unset {SWITCH}."))
        elif record.status == "failed":
            text = f"'{name}' ({record.distribution}) failed to load: {record.reason} {ASK}"
            problems.append(Problem(path, text))
    return problems


def _not_installed(name: str, records: Mapping[str, PluginRecord], path: str) -> str:
    in_tree = [p.name for p in _IN_TREE.glob("*") if (p / "pyproject.toml").is_file()]
    if name in in_tree:
        return f"plugin '{name}' is not installed. Run: pip install -e plugins/{name}."
    hint = did_you_mean(name, [*records, *in_tree])
    unset = f", or unset {SWITCH}" if path == SWITCH else ""
    return f"plugin '{name}' is not installed.{hint} Install the package that brings it, or correct the name{unset}."


def chosen_plugins(environ: Mapping[str, str]) -> list[str] | None:
    """Return the names in ``BUS_PLUGINS``, or ``None`` if it is not set and all plugins are on."""
    switch = environ.get(SWITCH)
    return None if switch is None else [name.strip() for name in switch.split(",") if name.strip()]


def distribution_of(entry: EntryPoint) -> str:
    """Return name and version of the package that brings an entry point."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"


def versioned(distribution: str) -> str:
    """Return the name of an installed package with its version."""
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution
