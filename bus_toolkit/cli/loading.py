"""The first line of a command that takes seconds to start."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


def say_loading() -> None:
    """Say what takes the first seconds."""
    _log.info("Loading PyTorch and OpenMMLab ...")
