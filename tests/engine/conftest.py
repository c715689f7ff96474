"""Every run of these tests writes into a folder of its own, and OpenMMLab stays quiet."""

from types import SimpleNamespace

import pytest

from bus_toolkit.engine.quiet import quiet_hosts

quiet_hosts()


@pytest.fixture(autouse=True)
def run_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_pause_between_passes(monkeypatch):
    """MMEngine sleeps two seconds where a loop of iterations begins another pass, against a deadlock of workers."""
    monkeypatch.setattr("mmengine.runner.loops.time", SimpleNamespace(sleep=lambda seconds: None))
