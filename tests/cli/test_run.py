import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.cli.run import let_threads_sleep, run_cli
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


def in_shell(ending, body, **env):
    """Run ``body`` as a command in a shell whose line goes on with ``ending``; return code, output, errors."""
    imports = "from bus_toolkit.cli.run import run_cli\nfrom bus_toolkit.errors import BusError\n"
    code = f"{imports}def main(_):\n {body}\nrun_cli(main)"
    done = subprocess.run(
        ["bash", "-c", f'{shlex.quote(sys.executable)} -c "$CODE" {ending}; echo "code ${{PIPESTATUS[0]}}"'],
        capture_output=True,
        text=True,
        env=os.environ | {"CODE": code, "PYTHONPATH": str(Path(__file__).parents[2])} | env,
        timeout=60,
    )
    *output, last = done.stdout.splitlines()
    return int(last.removeprefix("code ")), output, done.stderr


WAITS = "import time; time.sleep(1)"


@pytest.mark.parametrize(
    "body",
    [
        f"{WAITS}; print('a' * 100_000)",
        f"{WAITS}; from bus_toolkit.console import ScreenConsole; ScreenConsole().print('a')",
    ],
)
def test_a_reader_that_ends_first_is_no_fault(body):
    assert in_shell("| true", body) == (141, [], "")


def test_a_mistake_that_nobody_reads_prints_nothing_else():
    code, output, errors = in_shell("2>&1 >/dev/null | true", f"{WAITS}; raise BusError('a: wrong')")
    assert (code, output, errors) == (141, [], "")


def test_output_closed_by_the_shell_is_no_fault():
    assert in_shell(">&-", "print('a')") == (0, [], "")
    assert in_shell("2>&-", "raise BusError('a: wrong')") == (2, [], "")


def test_letters_that_the_encoding_does_not_have_are_escaped():
    code, output, errors = in_shell("", r"print('K\u00e4tzchen \u2713')", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (code, output, errors) == (0, [r"K\xe4tzchen \u2713"], "")


def test_threads_sleep_while_they_wait_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
