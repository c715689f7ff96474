import contextlib
import errno
import os

import pytest

from bus_toolkit.console import ScreenConsole, leave_lost_screen, screen_may_end
from bus_toolkit.engine import build_runner
from tests.engine.tiny_run import tiny_config


class Closed:
    def write(self, text):
        raise BrokenPipeError

    def flush(self): ...


def test_a_closed_pipe_is_the_callers_to_handle():
    with pytest.raises(BrokenPipeError):
        ScreenConsole(file=Closed()).print("a")


@contextlib.contextmanager
def lost_output(two_ends):
    """Let the standard output be one whose other end is closed."""
    before, (reader, writer) = os.dup(1), two_ends()
    os.dup2(writer, 1)
    os.close(writer)
    os.close(reader)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


@pytest.mark.parametrize("two_ends", [os.pipe, os.openpty], ids=["pipe", "terminal"])
def test_output_that_nobody_can_get_goes_nowhere(two_ends):
    with lost_output(two_ends):
        with pytest.raises(OSError):
            os.write(1, b"a")
        with screen_may_end():
            os.write(1, b"a")
        os.write(1, b"a")
        assert not leave_lost_screen()


def test_other_errors_of_output_stay():
    with pytest.raises(BrokenPipeError), screen_may_end():
        raise BrokenPipeError(errno.EPIPE, "of a socket, say")
    with pytest.raises(OSError), screen_may_end():
        raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("two_ends", [os.pipe, os.openpty], ids=["pipe", "terminal"])
def test_a_training_goes_on_without_its_screen(tmp_path, two_ends):
    runner = build_runner(tiny_config(tmp_path))
    (hook,) = [hook for hook in runner.hooks if hasattr(hook, "console")]
    with lost_output(two_ends), open(1, "w", closefd=False) as output:
        hook.console = ScreenConsole(file=output)
        runner.train()
    assert (tmp_path / "epoch_2.pth").is_file()
