"""Every run of these tests writes into a folder of its own, and OpenMMLab stays quiet."""

import pytest

from bus_toolkit.engine.quiet import quiet_hosts

quiet_hosts()


@pytest.fixture(autouse=True)
def run_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
