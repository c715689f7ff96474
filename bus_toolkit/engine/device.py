"""The device that a name means."""

from __future__ import annotations

import torch

from bus_toolkit.errors import ConfigError


def find_device(name: str | None, setting: str = "device") -> torch.device:
    """Return the device of that name; without one a GPU, if there is one.

    Args:
        name: As torch writes it, such as ``cuda:1``.
        setting: The flag or key in which the user wrote it, for the message.

    Raises:
        ConfigError: It cannot be used here.
    """
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(chosen)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"{setting}: cannot use {chosen!r}: {str(error).splitlines()[0]} Try cpu.") from error
    return device
