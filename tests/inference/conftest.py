"""One run folder and one Inferencer for all tests of this folder."""

from __future__ import annotations

import pytest

from bus_toolkit import Inferencer
from tests.inference.toy import photos, run_config, write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference")
    return write_run(folder / "run", run_config(folder / "scenes"))


@pytest.fixture(scope="session")
def inferencer(run):
    return Inferencer(run, device="cpu", batch_size=2)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return [str(path) for path in photos(tmp_path_factory.mktemp("photos"))]
