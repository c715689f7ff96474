"""The scripts of tools/prepare_data start, and end as the other tools do."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.preparation import miniatures
from tests.data.preparation.tiny_clipart import drawings, package_members
from tests.data.preparation.tiny_deb import deb

FOLDER = Path(__file__).parents[2] / "tools" / "prepare_data"
TOOLS = sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name):
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [name for name in TOOLS if name != "openclipart"])
def test_each_script_prepares_its_data_set(name, tmp_path, capsys):
    root = getattr(miniatures, name)(tmp_path / "raw")
    load(name).main([str(root), "--out", str(tmp_path / "out"), "--any-count"])
    out = capsys.readouterr().out
    assert f"{tmp_path / 'out'}: written" in out and "{out}" not in out
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_openclipart_tells_counts_and_what_differs_from_the_known_release(tmp_path, capsys):
    for kind in ("svg", "png"):
        (tmp_path / f"openclipart-{kind}_1_all.deb").write_bytes(deb(package_members(drawings(12), kind)))
    flags = ["--source", str(tmp_path), "--out", str(tmp_path / "out"), "--test", "3", "--val", "2"]
    load("openclipart").main(flags)
    out = capsys.readouterr().out
    assert "test: pairs: 3" in out and "train: pairs: 7" in out
    assert "warning: openclipart: SVG files: must be 7,458, got 12" in out
    load("openclipart").main(flags)
    assert "is whole, nothing to do" in capsys.readouterr().out


def test_a_mistake_is_lines_without_a_traceback(tmp_path):
    command = [sys.executable, str(FOLDER / "gqa.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: gqa: ")]
    assert len(lines) == 5 and "lacks train_balanced_questions.json. Get it: questions1.2.zip" in lines[0]
