"""The command lines of tools/train.py and tools/test.py, as a user types them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.engine import RunOptions

ROOT = Path(__file__).parents[2]


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f"bus_tool_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trained(monkeypatch):
    """Collect what tools/train.py would train."""
    calls = []
    monkeypatch.setattr("bus_toolkit.engine.train", lambda *args: calls.append(args))
    return calls


def test_a_bare_call_leaves_the_config_as_it_is(trained):
    load_tool("train").main(["c.yaml"])
    assert trained == [("c.yaml", [], RunOptions())]


def test_all_flags_of_openmmlab_are_understood(trained):
    words = "c.yaml --work-dir w --resume --amp --auto-scale-lr --no-validate --seed 3 --launcher slurm --local-rank 1"
    load_tool("train").main([*words.split(), "--debug", "--cfg-options", "a.b=1", "c=[1,2]"])
    options = RunOptions("w", "latest", None, True, True, True, 3, "slurm", True)
    assert trained == [("c.yaml", ["a.b=1", "c=[1,2]"], options)]


def test_resume_takes_a_path(trained):
    load_tool("train").main(["c.yaml", "--resume", "w/epoch_3.pth"])
    assert trained[0][2].resume == "w/epoch_3.pth"


def test_an_evaluation_gets_checkpoint_and_output(monkeypatch):
    calls = []
    monkeypatch.setattr("bus_toolkit.engine.evaluate", lambda *args, **kwargs: calls.append((args, kwargs)))
    load_tool("test").main(["c.yaml", "w.pth", "--out", "m.json", "--amp", "--launcher", "pytorch"])
    options = RunOptions(load_from="w.pth", amp=True, launcher="pytorch")
    assert calls == [(("c.yaml", [], options), {"out": "m.json"})]


@pytest.mark.parametrize("tool", ["train", "test"])
def test_help_does_not_load_the_hosts(tool):
    probe = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('LOADED' if 'torch' in sys.modules else 'LIGHT'))\n"
        "sys.argv = ['tool', '--help']\n"
        f"runpy.run_path({str(ROOT / 'tools' / f'{tool}.py')!r}, run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert result.returncode == 0 and "usage:" in result.stdout
    assert result.stdout.splitlines()[-1] == "LIGHT"


@pytest.mark.slow
def test_a_missing_config_is_one_clear_line_and_leaves_nothing_behind(tmp_path):
    command = [sys.executable, str(ROOT / "tools/train.py"), "gone.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert result.returncode == 2
    assert "gone.yaml" in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and result.stdout == ""
    assert list(tmp_path.iterdir()) == []
