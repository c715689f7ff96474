"""The recipes on Openclipart, from packages made by hand to recalls on the held-out pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.data.preparation.openclipart import prepare_openclipart
from bus_toolkit.engine import RunOptions, evaluate, train
from tests.data.preparation.tiny_clipart import drawings, package_members
from tests.data.preparation.tiny_deb import deb

ROOT = Path(__file__).parent.parent / "registry_configs"


@pytest.fixture(scope="module")
def clipart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clipart")
    for kind in ("svg", "png"):
        (folder / f"openclipart-{kind}_1_all.deb").write_bytes(deb(package_members(drawings(26), kind)))
    prepare_openclipart(folder, folder / "out", num_test=6, num_val=4)
    return folder / "out"


@pytest.mark.parametrize("config", ["bus/bus_openclipart_tiny.yaml", "albef/albef_openclipart_tiny.yaml"])
def test_trains_and_retrieves(config: str, clipart: Path, tmp_path: Path) -> None:
    splits = ("train", "val", "test")
    overrides = [
        *(f"{split}_dataloader.dataset.shards={clipart}/{split}/{split}-*.tar" for split in splits),
        "train_dataloader.batch_size=8",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        "train_cfg.max_epochs=1",
        "model.heads.itm.start_epoch=0",
        "test_cfg.rerank_topk=2",
    ]
    train(ROOT / config, overrides, RunOptions(work_dir=str(tmp_path), no_validate=True))
    options = RunOptions(work_dir=str(tmp_path), load_from=str(tmp_path / "epoch_1.pth"))
    metrics = evaluate(ROOT / config, overrides, options)
    assert metrics["retrieval/num_images"] == 6
    assert {"retrieval/i2t_R@1", "retrieval/rerank_t2i_R@1"} <= set(metrics)
    assert all(0 <= value <= 100 for name, value in metrics.items() if "R@" in name and "leak" not in name)
