"""Keep the start-up noise of OpenMMLab, transformers and torch off the screen, and nothing else.

Each filter names one message that was seen and says nothing to the user of this toolkit. Errors always pass; the run's
log file gets everything.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable

import mmengine.logging
import mmengine.runner.checkpoint
from mmengine.logging import MMLogger

from bus_toolkit.own_log import log_to_screen
from bus_toolkit.safe_text import SafeFormatter

_log = logging.getLogger(__name__)

# (category, start of the message, module that the warning is attributed to); regular expressions as in `warnings`.
_WARNINGS: tuple[tuple[type[Warning], str, str], ...] = (
    (UserWarning, "Fail to import ``MultiScaleDeformableAttention``", r"mmcv\."),
    (FutureWarning, "", r"(mmengine|mmcv|mmpretrain|transformers)(\.|$)"),
    (DeprecationWarning, "", r"(mmengine|mmcv|mmpretrain|transformers)(\.|$)"),
    (UserWarning, "Setting (OMP|MKL)_NUM_THREADS environment variable for each process", r"mmengine\."),
    (UserWarning, "Detected pickle protocol", r"torch\."),  # our refusal of the file says what matters
    (UserWarning, ".*pin_memory.* argument is set as true but no accelerator", ""),
    # Gradient accumulation: schedules go by iterations there, and the first of them moves no weight.
    (UserWarning, r"Detected call of `scheduler\.step\(\)` before `optimizer\.step\(\)`", r"mmengine\."),
)
# Messages that OpenMMLab logs at WARNING for situations that are normal here.
_LOG_MESSAGES = (
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    'Failed to search registry with scope "mmengine"',
    'Failed to search registry with scope "bus_toolkit"',
    "has no metainfo. ``dataset_meta`` in visualizer will be None.",
    "The prefix is not set in metric class",
    "is duplicate. It is skipped since bypass_duplicate=True",
    "is skipped since its requires_grad=False",
    "after calling `init_weights`",
    "Fast sampler-level resume is unavailable",  # the rows are the right ones all the same
    "Reach the end of the dataloader, it will be restarted",  # in a loop of iterations, after each pass
    "Resumed iteration number is not divisible by",  # WholeStepsHook says it where it is so
)


def quiet_hosts() -> None:
    """Install the filters once; call it before the first import of mmcv or mmpretrain.

    It also makes MMEngine's ``print_log`` respect the level of messages that name no logger. Otherwise it prints all of
    them, for example mmpretrain's debug message "Could not import OneDL".
    """
    for category, message, module in _WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=category, module=module)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    mmengine.logging.print_log = mmengine.runner.checkpoint.print_log = _print_log_by_level
    for handler in MMLogger.get_current_instance().handlers:  # handlers made before a Runner builds its own log
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(max(handler.level, logging.WARNING))


def split_screen_and_file(logger: MMLogger, *, everything: bool = False) -> None:
    """Leave warnings and errors of OpenMMLab on the screen, send its other records to the run's log file only.

    Our own module loggers (``bus_toolkit.*``) go to both. MMEngine's ``init_weights`` dumps, the environment and the
    resolved config are INFO records of MMEngine, so they go to the file.

    Args:
        logger: The logger that MMEngine's Runner has just built.
        everything: Show all records of OpenMMLab too (``--debug``).
    """
    own = log_to_screen(logging.DEBUG if everything else logging.INFO)
    own.propagate = False
    own.handlers = [h for h in own.handlers if not getattr(h, "bus_run", False)]
    for handler in logger.handlers:
        is_file = isinstance(handler, logging.FileHandler)
        if not is_file and not everything:
            handler.setLevel(max(handler.level, logging.WARNING))
        if not is_file:
            handler.addFilter(_is_worth_showing)
            continue
        handler.bus_run = True
        handler.handleError = _fault_reporter(handler)
        if handler.formatter is not None:  # names from data are in our records and in those of OpenMMLab
            handler.setFormatter(SafeFormatter(handler.formatter))
        own.addHandler(handler)


def _fault_reporter(handler: logging.FileHandler) -> Callable[[logging.LogRecord], None]:
    """Return what reports a log that cannot be written: one line at the first record, not a traceback at each.

    The run goes on to whatever it writes next beside the log, which ends it if the disk is full.
    """
    reported = False

    def report(record: logging.LogRecord) -> None:
        nonlocal reported
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logging.Handler.handleError(handler, record)
        elif not reported:
            reported = True  # before the line, which comes here too
            text = "%s: cannot be written: %s. Lines of this log are missing from here on."
            _log.warning(text, handler.baseFilename, error.strerror)

    return report


def _is_worth_showing(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.ERROR:
        return True
    message = record.getMessage()
    return not any(noise in message for noise in _LOG_MESSAGES)


_print_log = mmengine.logging.print_log


def _print_log_by_level(msg: object, logger: logging.Logger | str | None = None, level: int = logging.INFO) -> None:
    """Do what ``mmengine.logging.print_log`` does, but print no debug message that names no logger."""
    if logger is None and (level < logging.INFO or str(msg).startswith("Loads checkpoint by")):
        return
    _print_log(msg, logger=logger, level=level)
