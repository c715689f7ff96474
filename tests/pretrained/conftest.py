"""A run folder, its Inferencer, and the folder that save_pretrained makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bus_toolkit import Inferencer
from tests.inference.toy import photos, run_config, write_run


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """An Inferencer of a model with momentum copies and a queue, whose keep ratio is in the middle of a schedule."""
    import torch

    from bus_toolkit.weights.run_state import write_section

    folder = tmp_path_factory.mktemp("pretrained")
    config = run_config(folder / "scenes")
    model = config["model"]
    model["momentum"] = {"decay": 0.9}
    model["heads"]["itc"] |= {"queue_size": 4}
    model["heads"]["vqa"] |= {"alpha": 0.4}
    model["selectors"][0]["keep_ratio"] = {"start": 1.0, "end": 0.25, "epochs": 4}
    run = write_run(folder / "run", config)
    checkpoint = torch.load(run / "epoch_1.pth", weights_only=True)
    write_section(checkpoint, "progress", {"epoch": 2.0, "iteration": 6})
    torch.save(checkpoint, run / "epoch_1.pth")
    (run / "report/val").mkdir(parents=True)
    (run / "report/val/results.json").write_text('{"metrics": {"vqa/accuracy": 0.25}}')
    return Inferencer(run, device="cpu", batch_size=2)


@pytest.fixture(scope="package")
def saved(trained, tmp_path_factory):
    return trained.save_pretrained(tmp_path_factory.mktemp("saved") / "toy", licence="Apache-2.0")


@pytest.fixture(scope="package")
def pictures(tmp_path_factory):
    return [str(path) for path in photos(tmp_path_factory.mktemp("photos"))]


@pytest.fixture
def copied(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "elsewhere" / "copied"))
