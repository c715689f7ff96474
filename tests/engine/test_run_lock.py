"""One training in a work dir at a time: living ones are respected, dead ones are not, evaluations go on beside."""

import errno
import fcntl
import gc
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from bus_toolkit.engine import RunOptions, build_runner, lock_holder, run_lock
from bus_toolkit.engine.run_lock import LOCK, RunLock
from bus_toolkit.errors import ConfigError, TrainingError
from tests.engine.tiny_run import tiny_config

# Holds the lock as a training does that has a forked worker, says so, and waits.
HOLDER = """
import os, sys, time
from pathlib import Path
from bus_toolkit.engine.run_lock import RunLock
lock = RunLock.of(Path(sys.argv[1]))
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path):
    """Start a process that has the lock on the folder; all of its children end with the test."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_living_run_is_respected_and_one_that_is_killed_is_not(tmp_path, other_process):
    for name in (".epoch_9.pth.1-00000000.tmp", ".last_checkpoint.7.tmp", ".result.json.7.tmp"):
        (tmp_path / name).touch()
    cfg = tiny_config(tmp_path)
    with pytest.raises(ConfigError) as caught:
        build_runner(cfg)
    start = f"work_dir: another training is running in {tmp_path}: process {other_process.pid} on "
    assert str(caught.value).startswith(start) and "--work-dir" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("."))[0].startswith(".epoch_9")

    evaluated = tiny_config(tmp_path)
    evaluated.train_dataloader = evaluated.train_cfg = evaluated.optim_wrapper = evaluated.param_scheduler = None
    build_runner(evaluated).test()

    os.kill(other_process.pid, signal.SIGKILL)  # its forked child lives on
    other_process.wait()
    build_runner(tiny_config(tmp_path), RunOptions(resume="latest")).train()
    assert not (tmp_path / LOCK).exists()
    assert [path.name for path in tmp_path.glob(".*")] == [".result.json.7.tmp"], "what a run has half written is gone"


def test_a_process_has_one_lock_on_a_folder_until_the_last_runner_is_gone(tmp_path):
    lock = RunLock.of(tmp_path)
    assert RunLock.of(tmp_path) is lock and json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    del lock
    gc.collect()
    assert not (tmp_path / LOCK).exists()
    lock = RunLock.of(tmp_path)
    lock.release()
    lock.release()
    assert not (tmp_path / LOCK).exists() and RunLock.of(tmp_path) is not lock


def test_a_training_that_ends_lets_the_folder_go(tmp_path):
    runner = build_runner(tiny_config(tmp_path))
    assert (tmp_path / LOCK).is_file() and runner.run_lock is not None
    runner.train()
    assert not (tmp_path / LOCK).exists()


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(file, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(run_lock, "SIGN_OF_LIFE", 0.05)


def left_by(folder, **changes):
    """Write what another process would have left in the lock file."""
    (folder / LOCK).write_text(json.dumps({**lock_holder.own_identity(), **changes}))


def test_a_full_disk_that_cannot_hold_the_lock_is_one_line(tmp_path, monkeypatch):
    def no_room(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_lock.os, "pwrite", no_room)
    with pytest.raises(TrainingError, match=rf"^{tmp_path}: cannot be written any more: No space left on device\. The"):
        build_runner(tiny_config(tmp_path))
    monkeypatch.undo()
    RunLock.of(tmp_path).release()  # nothing holds it


def test_without_locks_the_contents_decide(tmp_path, no_locks):
    left_by(tmp_path)  # this very process stands for another one that runs
    with pytest.raises(ConfigError, match=f"process {os.getpid()} on "):
        RunLock.of(tmp_path)
    left_by(tmp_path, ticks="1")  # its number is used again
    RunLock.of(tmp_path).release()
    ended = multiprocessing.get_context("fork").Process(target=int)
    ended.start()
    ended.join()
    left_by(tmp_path, pid=ended.pid)
    RunLock.of(tmp_path).release()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": 3}', '{"pid": "x"}'])
def test_a_lock_file_that_says_nothing_is_taken(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    RunLock.of(tmp_path).release()


def test_a_run_of_another_machine_lives_as_long_as_it_gives_signs(tmp_path, no_locks):
    left_by(tmp_path, place="elsewhere", machine="node7", pid=42)
    ended = threading.Event()
    file = os.open(tmp_path / LOCK, os.O_RDWR)
    signs = threading.Thread(target=run_lock._give_signs_of_life, args=(file, ended))
    signs.start()
    with pytest.raises(ConfigError, match="process 42 on node7, started "):
        RunLock.of(tmp_path)
    ended.set()
    signs.join()
    os.close(file)
    RunLock.of(tmp_path).release()  # after the wait


@pytest.mark.parametrize("ahead", [-7200, 7200])
def test_clocks_of_other_machines_do_not_matter(tmp_path, no_locks, ahead):
    left_by(tmp_path, place="elsewhere")
    ended = threading.Event()

    def give_signs():  # of a machine whose clock is wrong
        while not ended.wait(0.05):
            os.utime(tmp_path / LOCK, (time.time() + ahead,) * 2)

    os.utime(tmp_path / LOCK, (time.time() + ahead,) * 2)
    signs = threading.Thread(target=give_signs)
    signs.start()
    with pytest.raises(ConfigError, match="another training is running"):
        RunLock.of(tmp_path)
    ended.set()
    signs.join()


def test_a_fork_of_a_fork_keeps_the_files_that_it_opens(tmp_path):
    lock = RunLock.of(tmp_path / "work")
    child = os.fork()
    if child == 0:
        opened = os.open(tmp_path / "own", os.O_WRONLY | os.O_CREAT)  # gets the number that the lock had
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if os.write(opened, b"x") else 1)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.path.exists()
    lock.release()


def test_a_lock_that_cannot_be_removed_ends_no_training(tmp_path, monkeypatch):
    lock = RunLock.of(tmp_path)

    def refuse(self, missing_ok=False):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(type(lock.path), "unlink", refuse)
        lock.release()
    RunLock.of(tmp_path).release()


def test_a_lock_of_another_user_is_one_line(tmp_path):
    (tmp_path / LOCK).mkdir()  # as little to be opened as a file without the right to
    with pytest.raises(ConfigError, match=f"work_dir: cannot write {tmp_path / LOCK}: Is a directory"):
        RunLock.of(tmp_path)


def test_a_checkpoint_that_the_run_before_writes_at_its_end_is_gone_on_from(tmp_path, monkeypatch):
    """A job that starts again may come when the one before it saves for the last time."""
    build_runner(tiny_config(tmp_path / "before", max_epochs=1)).train()
    taken = RunLock.of

    def last_words(folder):
        shutil.copy(tmp_path / "before" / "epoch_1.pth", folder)
        return taken(folder)

    monkeypatch.setattr(RunLock, "of", last_words)
    (tmp_path / "work").mkdir()
    runner = build_runner(tiny_config(tmp_path / "work"), RunOptions(resume="latest"))
    assert runner._load_from == str(tmp_path / "work" / "epoch_1.pth")
