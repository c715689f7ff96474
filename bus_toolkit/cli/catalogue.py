"""The commands of ``bus-toolkit`` by group; each is a module of its name in this folder, loaded when it is needed."""

from __future__ import annotations

from importlib import import_module

from bus_toolkit.cli.command import Command
from bus_toolkit.errors import ConfigError
from bus_toolkit.signatures import did_you_mean

GROUPS = {
    "Train and evaluate": ("train", "test", "study", "study-report"),
    "Use a trained model": ("infer", "app", "export", "save-pretrained", "push-to-hub"),
    "Look at runs": ("report", "compare"),
    "List configs and parts": ("configs", "describe", "list-backbones"),
    "Data": ("prepare", "shards", "scenes", "verify", "browse"),
    "Weights": ("convert-weights",),
    "Plugins": ("new-plugin", "check-plugin"),
    "Measure and plan": (
        "benchmark",
        "benchmark-vlm",
        "benchmark-blip",
        "benchmark-rerank",
        "benchmark-shards",
        "benchmark-annotations",
        "gpu-battery",
        "plan-budget",
    ),
    "Installation": ("doctor", "completion"),
}
NAMES = tuple(name for names in GROUPS.values() for name in names)


def find_command(name: str) -> Command:
    """Return the command of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in NAMES:
        raise ConfigError(
            f"bus-toolkit: no command of this name, got {name!r}.{did_you_mean(name, NAMES)} "
            "`bus-toolkit --help` lists the commands."
        )
    command: Command = import_module(f"bus_toolkit.cli.{name.replace('-', '_')}").COMMAND
    return command
