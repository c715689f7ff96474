"""A new plugin installs, is found, and passes the kit and its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.errors import PluginError
from bus_toolkit.plugin.scaffold import KINDS, new_plugin

ROOT = Path(__file__).parents[3]


def run(*command: str, cwd: Path = ROOT, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_new_plugins_of_every_kind_install_and_pass_at_once(tmp_path: Path) -> None:
    """All in one process each of pip and pytest, whose start takes the time; test_wheel.py resolves the YAML."""
    folders = [str(new_plugin(f"my_{kind}", kind, tmp_path)) for kind in KINDS]
    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(site)]
    run(*pip, *folders)
    path = {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    passed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *folders, cwd=tmp_path, **path)
    assert f"{3 * len(KINDS)} passed" in passed
    assert "MySelector: passes" in run("tools/check_plugin.py", "my_selector", **path)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My-Plugin", "head", "name: must be a lower-case module name such as my_head, got 'My-Plugin'"),
        ("mine", "fusion", "kind: must be one of selector, decoder, backbone, head, got 'fusion'"),
        ("taken", "head", "taken: exists already. Choose another name"),
        ("file/mine", "head", "name: must be a lower-case"),
    ],
)
def test_refuses_what_it_cannot_write(name: str, kind: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(PluginError, match=message):
        new_plugin(name, kind, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="cannot be written: .* Choose another --folder"):
        new_plugin("mine", "head", tmp_path / "file")
