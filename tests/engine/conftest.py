"""Every run of these tests writes into a folder of its own, and OpenMMLab stays quiet."""

import shutil
from types import SimpleNamespace

import pytest

from bus_toolkit.engine import build_runner
from bus_toolkit.engine.quiet import quiet_hosts
from tests.engine.tiny_run import tiny_config

quiet_hosts()


@pytest.fixture(autouse=True)
def run_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_pause_between_passes(monkeypatch):
    """MMEngine sleeps two seconds where a loop of iterations begins another pass, against a deadlock of workers."""
    monkeypatch.setattr("mmengine.runner.loops.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """The folder of a tiny training with two checkpoints."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    cfg = tiny_config(folder)
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}
    build_runner(cfg).train()
    return folder


@pytest.fixture
def saved_run(trained_run, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(trained_run, tmp_path / "run")
