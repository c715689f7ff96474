import pytest

from bus_toolkit.console import ScreenConsole


class Closed:
    def write(self, text):
        raise BrokenPipeError

    def flush(self): ...


def test_a_closed_pipe_is_the_callers_to_handle():
    with pytest.raises(BrokenPipeError):
        ScreenConsole(file=Closed()).print("a")
