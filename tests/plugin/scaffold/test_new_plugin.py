"""A new plugin of any kind installs, is found, passes the kit and its own tests, and trains."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.logging import MessageHub

from bus_toolkit.engine import RunOptions, train
from bus_toolkit.errors import PluginError
from bus_toolkit.plugin.scaffold import new_plugin
from bus_toolkit.plugin.scaffold.kinds import KINDS
from bus_toolkit.testing import check_plugin
from tests.small_run import small
from tests.testing.installed import plugin

ROOT = Path(__file__).parents[3]
NUM_COMPONENTS = {"head": 2}  # it comes with its metric


def run(*command: str, cwd: Path = ROOT, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_new_plugin_installs_with_pip_and_passes_at_once(tmp_path: Path) -> None:
    """One of a model part and one of what the Runner builds; test_wheel.py resolves the YAML."""
    folders = [str(new_plugin(f"my_{kind}", kind, tmp_path)) for kind in ("selector", "metric")]
    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(site)]
    run(*pip, *folders)
    path = {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    assert "6 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", *folders, cwd=tmp_path, **path)
    assert "MySelector: passes" in run("tools/check_plugin.py", "my_selector", **path)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_passes_its_own_tests_and_trains_two_steps(
    kind: str, tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"my_{kind}"
    folder = new_plugin(name, kind, tmp_path)
    own = (folder / "tests" / f"test_{name}.py").read_text()
    (tmp_path / "run.yaml").write_text(f"_base_: [bus/bus_scenes_tiny, '{name}::{name}.yaml']\n")
    with plugin(name, folder, monkeypatch):
        assert [verdict.problem for verdict in check_plugin(name)] == [""] * NUM_COMPONENTS.get(kind, 1)
        tests: dict[str, Callable[[], None]] = {}
        exec(compile(own, f"test_{name}.py", "exec"), tests)
        passed = [test() for test_name, test in tests.items() if test_name.startswith("test_")]
        assert len(passed) >= 3
        trained = two_steps(tmp_path / "run.yaml", scenes, tmp_path / "out", kind)
    assert trained["train/loss"] and all(math.isfinite(value) for value in trained["train/loss"])
    if kind == "hook":
        assert "train/hours" in trained
    if kind == "head":
        assert trained["train/loss_my_head"] and f"val/{name}/cosine" in trained
    if kind == "metric":
        assert 0.0 < trained[f"val/{name}/kept"][0] < 1.0


def two_steps(config: Path, scenes: Path, work_dir: Path, kind: str) -> dict[str, list[float]]:
    """Train two steps; return what was logged."""
    overrides = small(
        scenes,
        *(f"model.heads.{head}.start_epoch=0" for head in ("itm", "mlm", "prefix_lm")),
        "train_cfg={type: IterBasedTrainLoop, max_iters: 2, val_interval: 2, _delete_: true}",
        "default_hooks.checkpoint.by_epoch=false",
        "default_hooks.logger.interval=1",
    )
    if kind == "dataset":
        overrides = [word for word in overrides if not word.startswith("train_dataloader.dataset.")]
    train(str(config), overrides, RunOptions(work_dir=str(work_dir), no_validate=kind not in ("head", "metric")))
    scalars = MessageHub.get_current_instance().log_scalars
    return {name: [float(value) for value in buffer.data[0]] for name, buffer in scalars.items()}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My-Plugin", "head", "name: must be a lower-case module name such as my_head, got 'My-Plugin'"),
        ("mine", "loss", "kind: must be one of selector, decoder, .*, scheduler, got 'loss'"),
        (
            "torch",
            "head",
            "a module 'torch' is installed, which the plugin would hide. Choose another, such as my_torch",
        ),
        ("json", "head", "a module 'json' is installed"),
        ("class", "head", "name: must be a lower-case module name such as my_head, got 'class'"),
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
