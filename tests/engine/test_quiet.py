import logging
import subprocess
import sys
import warnings

import pytest
from mmengine.logging import print_log

from bus_toolkit.engine import quiet


@pytest.mark.slow
def test_importing_openmmlab_prints_nothing():
    code = (
        "from bus_toolkit.engine import quiet_hosts; quiet_hosts()\n"
        "import mmcv.cnn, mmpretrain.models, mmpretrain.datasets"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout + result.stderr == ""


def test_a_debug_message_without_a_logger_is_not_printed(capsys):
    quiet._print_log_by_level("Could not import OneDL", level=logging.DEBUG)
    assert capsys.readouterr().out == ""


def test_other_messages_are_printed(capsys):
    quiet._print_log_by_level("a result")
    assert capsys.readouterr().out == "a result\n"
    assert print_log is not None


def test_warnings_of_others_pass():
    with warnings.catch_warnings(record=True) as caught:
        quiet.quiet_hosts()
        warnings.warn("your lr is odd", UserWarning, stacklevel=1)
        warnings.warn("this goes away", FutureWarning, stacklevel=1)
    assert [str(w.message) for w in caught] == ["your lr is odd", "this goes away"]


@pytest.mark.parametrize(("level", "shown"), [(logging.WARNING, False), (logging.ERROR, True)])
def test_errors_always_pass(level, shown):
    message = 'Failed to search registry with scope "mmengine" in the "hook" registry tree.'
    record = logging.LogRecord("mmengine", level, "f", 1, message, (), None)
    assert quiet._is_worth_showing(record) is shown


@pytest.fixture
def full_log():
    """A log of a run on a full disk, in place of the handlers that other tests have left."""
    own = logging.getLogger("bus_toolkit")
    before = own.handlers[:]
    run = logging.Logger("of OpenMMLab")
    run.addHandler(logging.FileHandler("/dev/full"))  # writing to it finds no room, on every Linux
    quiet.split_screen_and_file(run)
    yield own
    own.handlers[:] = before


def test_a_log_that_cannot_be_written_is_one_line_and_no_traceback(full_log, capsys):
    full_log.error("the first")
    full_log.error("the second")
    lines = capsys.readouterr().err.splitlines()
    fault = "/dev/full: cannot be written: No space left on device. Lines of this log are missing from here on."
    assert sorted(lines) == ["ERROR the first", "ERROR the second", f"WARNING {fault}"]


def test_another_fault_of_a_record_keeps_its_traceback(full_log, capsys):
    full_log.handlers = [handler for handler in full_log.handlers if isinstance(handler, logging.FileHandler)]
    full_log.error("%d words", "two")
    assert "--- Logging error ---" in capsys.readouterr().err
