"""The "4M" recipes on miniatures of COCO, Visual Genome, CC3M and SBU, prepared by their commands; three steps each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bus_toolkit import load_config
from bus_toolkit.cli.prepare import COMMAND
from bus_toolkit.engine import RunOptions, train
from bus_toolkit.registry import DATASETS
from tests.data.preparation import miniatures

SIZES = {"coco": (9, 9), "visual_genome": (50, 100)}  # height and width that the annotations state
SMALL = [
    "settings.image_size=32",
    "model.backbone={arch: {embed_dims: 32, num_layers: 3, num_heads: 2, feedforward_channels: 64}, img_size: 32}",
    "model.backbone.patch_size=8",
    "model.text_encoder={num_layers: 1, hidden_size: 32, num_heads: 2}",
    "model.fusion={num_layers: 1, num_heads: 2}",
    "model.text_decoder={num_layers: 1, num_heads: 2}",
    "model.heads.itc.queue_size=16",
    "model.selectors.0.blocks=[2]",
    "model.decoder={num_layers: 1, num_queries: 4, num_heads: 2}",
    "train_dataloader.batch_size=8",
    "train_dataloader.batch_sampler.epoch=3",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=false",
    "train_cfg.max_epochs=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with ``data/``, as the commands in the recipes' data file leave it."""
    folder = tmp_path_factory.mktemp("4m")
    for name in ("coco", "visual_genome", "cc3m", "sbu"):
        root = getattr(miniatures, name)(folder / "raw" / name)
        for number, image in enumerate(sorted(root.rglob("*.jpg"))):
            pixels = np.random.default_rng(number).integers(0, 255, (*SIZES[name], 3), np.uint8)
            cv2.imwrite(str(image), pixels)
        COMMAND.main([name, str(root), "--out", str(folder / "data" / name), "--any-count"])
    return folder


def test_bus_trains_on_captions_of_four_sets_and_boxes_of_two(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data as in the file, on a small model; COPA has the same data, ALBEF, ELIP and TRIPS that without boxes."""
    monkeypatch.chdir(data)
    train("bus/bus_base_4m", SMALL, RunOptions(work_dir=str(tmp_path), no_validate=True))
    checkpoint = torch.load(tmp_path / "epoch_1.pth", weights_only=False)
    assert checkpoint["meta"]["iter"] == 3
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values() if value.is_floating_point())
    (scalars,) = tmp_path.rglob("scalars.json")
    losses = {key for line in scalars.read_text().splitlines() for key, value in json.loads(line).items() if value}
    assert {f"loss_{name}" for name in ("itc", "itm", "mlm", "prefix_lm", "ptm")} <= losses


def test_the_sources_are_those_of_the_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of boxes alone show a sentence about a class, or the description of a region."""
    monkeypatch.chdir(data)
    sources = DATASETS.build(load_config("copa/copa_base_4m", SMALL[:1]).train_dataloader.dataset)
    assert {name: len(source.rows) for name, source in sources.sources.items()} == {
        **{"coco": 4, "visual_genome": 2, "cc3m": 4, "sbu": 4},
        **{"coco_objects": 4, "visual_genome_regions": 2},
    }
    texts = {sources[row]["data_samples"].text for row in sources.rows_of("coco_objects")}
    assert texts == {"this is a dog"}, "as ALBEF cleans texts"
    assert sources[sources.rows_of("visual_genome_regions")[1]]["data_samples"].text == "a red ball"
