"""The start of a command that takes seconds: it comes after the check of the arguments."""

from __future__ import annotations

import logging

from bus_toolkit.quiet_import import rare_collections

_log = logging.getLogger(__name__)


def say_loading() -> None:
    """Print that libraries are loading, which takes the first seconds, and load them."""
    _log.info("Loading PyTorch and OpenMMLab ...")
    load_openmmlab()


def load_openmmlab() -> None:
    """Import PyTorch and OpenMMLab, whose log messages stay off the screen."""
    with rare_collections():
        from bus_toolkit.engine import quiet_hosts

        quiet_hosts()
