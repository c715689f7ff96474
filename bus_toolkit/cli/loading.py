"""The start of a command that takes seconds: it comes after the check of the arguments."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


def say_loading() -> None:
    """Print that libraries are loading, which takes the first seconds."""
    _log.info("Loading PyTorch and OpenMMLab ...")


def load_openmmlab() -> None:
    """Import PyTorch and OpenMMLab, whose log messages stay off the screen."""
    from bus_toolkit.engine import quiet_hosts

    quiet_hosts()
