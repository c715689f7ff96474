"""The command lines of a training and an evaluation, as a user types them."""

import logging
import signal
import sys

import pytest

from bus_toolkit.cli.test import COMMAND as TEST
from bus_toolkit.cli.train import COMMAND as TRAIN
from bus_toolkit.engine import RunOptions, TrainingInterrupted
from bus_toolkit.errors import ConfigError


@pytest.fixture
def trained(monkeypatch):
    """Collect what would be trained."""
    calls = []
    monkeypatch.setattr("bus_toolkit.engine.train", lambda *args: calls.append(args))
    return calls


def test_a_bare_call_leaves_the_config_as_it_is(trained):
    TRAIN.main(["c.yaml"])
    assert trained == [("c.yaml", [], RunOptions())]


def test_all_flags_of_openmmlab_are_understood(trained):
    words = "c.yaml --work-dir w --resume --amp --auto-scale-lr --no-validate --seed 3 --launcher slurm --local-rank 1"
    TRAIN.main([*words.split(), "--debug", "--cfg-options", "a.b=1", "c=[1,2]"])
    options = RunOptions("w", "latest", None, True, True, True, 3, "slurm", True)
    assert trained == [("c.yaml", ["a.b=1", "c=[1,2]"], options)]


def test_resume_takes_a_path(trained):
    TRAIN.main(["c.yaml", "--resume", "w/epoch_3.pth"])
    assert trained[0][2].resume == "w/epoch_3.pth"


def test_an_evaluation_gets_checkpoint_and_output(monkeypatch):
    calls = []
    monkeypatch.setattr("bus_toolkit.engine.evaluate", lambda *args, **kwargs: calls.append((args, kwargs)))
    TEST.main(["c.yaml", "w.pth", "--out", "m.json", "--amp", "--launcher", "pytorch"])
    options = RunOptions(load_from="w.pth", amp=True, launcher="pytorch")
    assert calls == [(("c.yaml", [], options), {"out": "m.json"})]


def test_a_missing_config_is_one_clear_line_and_leaves_no_files(tmp_path, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    code, shown, errors = command_line("train", "gone.yaml")
    assert code == 2
    loading, mistake = errors.splitlines()
    assert loading == "INFO Loading PyTorch and OpenMMLab ..."
    assert mistake.startswith("error: gone.yaml: no such config")
    assert shown == ""
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def interrupted(monkeypatch, tmp_path):
    """A command line of a training that Ctrl-C ends; returns what it warns."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "bus-toolkit", "train"])
    monkeypatch.setattr(sys, "argv", ["bus-toolkit", "train"])

    def train(*_):
        newest = tmp_path / "epoch_3.pth"
        raise TrainingInterrupted(str(tmp_path), newest if newest.exists() else None)

    monkeypatch.setattr("bus_toolkit.engine.train", train)

    def call(words, caplog):
        monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
        with pytest.raises(KeyboardInterrupt):
            TRAIN.main(words.split())
        return caplog.records[-1].getMessage()

    return call


def test_ctrl_c_names_the_checkpoint_and_the_command_that_goes_on(interrupted, tmp_path, caplog):
    (tmp_path / "epoch_3.pth").write_bytes(b"")
    words = "c.yaml --amp --resume old.pth --seed 3 --cfg-options a.b=1 c=[1,2]"
    command = f"bus-toolkit train c.yaml --work-dir {tmp_path} --resume --amp --seed 3 --cfg-options a.b=1 'c=[1,2]'"
    shown = interrupted(words, caplog)
    assert shown == f"Interrupted. The newest checkpoint is {tmp_path}/epoch_3.pth. To go on: {command}"
    assert interrupted("c.yaml --launcher pytorch", caplog).endswith("To go on: the same command with --resume")


def test_ctrl_c_before_the_first_checkpoint_names_the_command_that_starts_again(interrupted, tmp_path, caplog):
    command = f"bus-toolkit train c.yaml --work-dir {tmp_path}"
    assert interrupted("c.yaml", caplog) == f"Interrupted before the first checkpoint. To start again: {command}"


@pytest.fixture
def stopped(monkeypatch, tmp_path):
    """Run a training that SIGTERM stops after ``during`` was called; return its exit code."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "bus-toolkit", "train"])
    monkeypatch.setattr(sys, "argv", ["bus-toolkit", "train"])

    def call(note, during=lambda: None):
        def train(*_):
            during()
            raise TrainingInterrupted(str(tmp_path), tmp_path / "epoch_3.pth", signal.SIGTERM, 3)

        monkeypatch.setattr("bus_toolkit.engine.train", train)
        monkeypatch.setenv("BUS_TOOLKIT_STOP_NOTE", str(note))
        return TRAIN.main(["c.yaml"])

    return call


def test_a_stopped_training_leaves_its_note(stopped, tmp_path):
    assert stopped(tmp_path / "note") == 75
    assert (tmp_path / "note").read_text() == "SIGTERM\n"


def test_a_note_that_has_no_place_is_refused_before_the_training(stopped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="^BUS_TOOLKIT_STOP_NOTE: cannot write .*/file"):
        stopped(tmp_path / "file" / "note")


def test_a_note_that_fails_at_the_end_leaves_the_exit_code(stopped, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
    assert stopped(tmp_path / "note", during=(tmp_path / "note").mkdir) == 75
    assert "BUS_TOOLKIT_STOP_NOTE: cannot write" in caplog.text and "Is a directory" in caplog.text
