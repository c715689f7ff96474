"""Checks of arguments that several transforms have."""

from __future__ import annotations

from bus_toolkit.errors import ConfigError


def check_share(location: str, value: float) -> None:
    """Raise ``ConfigError`` with the location unless a value is in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{location}: must be in [0, 1], got {value}.")
