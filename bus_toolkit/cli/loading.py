"""The start of a command that takes seconds: it comes after the check of the arguments."""

from __future__ import annotations

import logging

from bus_toolkit.quiet_import import rare_collections

_log = logging.getLogger(__name__)


def load_openmmlab(*, announced: bool = False) -> None:
    """Import PyTorch and OpenMMLab, whose log messages stay off the screen.

    Args:
        announced: Whether a line says so first: it takes the first seconds of a command.
    """
    if announced:
        _log.info("Loading PyTorch and OpenMMLab ...")
    with rare_collections():
        from bus_toolkit.engine import quiet_hosts

        quiet_hosts()
