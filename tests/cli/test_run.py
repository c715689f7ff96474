import os
import sys

import pytest

from bus_toolkit.cli.run import run_cli
from bus_toolkit.errors import ConfigError


def _fail(argv):
    raise ConfigError(["a.b: wrong", "c: wrong too"])


def test_a_users_mistake_ends_with_2_and_no_traceback(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tool"])
    with pytest.raises(SystemExit) as caught:
        run_cli(_fail)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: a.b: wrong\nerror: c: wrong too\n"


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tool", "--debug"])
    with pytest.raises(ConfigError):
        run_cli(_fail)


def test_other_exit_codes():
    for result, code in ((None, 0), (3, 3)):
        with pytest.raises(SystemExit) as caught:
            run_cli(lambda argv, result=result: result)
        assert caught.value.code == code

    def interrupt(argv):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run_cli(interrupt)
    assert caught.value.code == 130


def test_a_closed_pipe_ends_quietly(capfd):
    def write(argv):
        raise BrokenPipeError

    kept = os.dup(sys.stdout.fileno())
    try:
        with pytest.raises(SystemExit) as caught:
            run_cli(write)
    finally:
        os.dup2(kept, sys.stdout.fileno())
        os.close(kept)
    assert caught.value.code == 141 and capfd.readouterr().err == ""
