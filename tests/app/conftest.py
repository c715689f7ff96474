"""One model and one server for all tests of this folder."""

from __future__ import annotations

import pytest

from bus_toolkit import Inferencer
from bus_toolkit.app import AppServer, Desk, Gallery
from tests.app.asking import served
from tests.inference.toy import TEXTS, photos, run_config, write_run


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    run = write_run(folder / "run", run_config(folder / "scenes"))
    gallery = Gallery([str(path) for path in photos(folder / "photos")])
    return Desk(Inferencer(run, device="cpu"), gallery, TEXTS)


@pytest.fixture(scope="session")
def server(desk):
    with served(AppServer("127.0.0.1", 0), desk) as running:
        yield running
