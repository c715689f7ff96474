"""Make the tiny run importable by name, here and in the processes that tests start."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bus_toolkit.engine.quiet import quiet_hosts  # noqa: E402

quiet_hosts()


@pytest.fixture(autouse=True)
def run_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
