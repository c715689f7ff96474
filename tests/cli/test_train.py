"""The command lines of a training and an evaluation, as a user types them."""

import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.cli.test import COMMAND as TEST
from bus_toolkit.cli.train import COMMAND as TRAIN
from bus_toolkit.engine import RunOptions

ROOT = Path(__file__).parents[2]


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


@pytest.mark.slow
def test_a_missing_config_is_one_clear_line_and_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "bus_toolkit", "train", "gone.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert result.returncode == 2
    loading, mistake = result.stderr.splitlines()
    assert loading == "Loading PyTorch and OpenMMLab ..." and mistake.startswith("error: gone.yaml: no such config")
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []
