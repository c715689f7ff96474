import signal
import subprocess
import sys

import pytest

from bus_toolkit.cli.interrupt import program

PROBE = """
import os, signal
from bus_toolkit.cli.interrupt import end_at_second_interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
end_at_second_interrupt()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("first", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached")
"""


def test_the_second_ctrl_c_ends_the_process_at_once():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("first\n", "", -signal.SIGINT)


def test_an_ignored_ctrl_c_stays_ignored():
    probe = """
import os, signal
from bus_toolkit.cli.interrupt import end_at_second_interrupt
signal.signal(signal.SIGINT, signal.SIG_IGN)
end_at_second_interrupt()
os.kill(os.getpid(), signal.SIGINT)
print("goes on")
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("goes on\n", "", 0)


@pytest.mark.parametrize(
    ("typed", "argv", "words"),
    [
        (["/x/python", "/x/bin/bus-toolkit", "train", "c"], ["/x/bin/bus-toolkit", "train", "c"], "bus-toolkit train"),
        (["python", "-m", "bus_toolkit", "train"], ["/x/__main__.py", "train"], "python -m bus_toolkit train"),
        (["python", "tools/train.py", "c"], ["tools/train.py", "c"], "python tools/train.py"),
    ],
)
def test_the_program_is_named_as_it_was_started(typed, argv, words, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", typed)
    monkeypatch.setattr(sys, "argv", argv)
    assert " ".join(program("train")) == words
