"""Every error that bus_toolkit raises on purpose.

The wording is ``<where>: <what is wrong>, got <value>. <what is allowed>. <what to do>``. The tools print these without
a traceback and leave with exit code 2; anything else that escapes is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class BusError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(BusError):
    """A YAML file or a command-line override is wrong.

    Args:
        problems: One message or all of them; each says where, what, what is allowed and what to do.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class ComponentError(BusError):
    """A registered part cannot be found, registered, built or combined."""


class PluginError(BusError):
    """A plugin that a run asked for cannot be used."""


class DataError(BusError):
    """A data file is missing or malformed, or too many samples are bad."""


class CheckpointError(BusError):
    """A checkpoint cannot be read safely or does not fit the model."""
