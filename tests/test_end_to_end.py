"""The demo's config, cut to a few steps: it trains, stops, resumes, evaluates, and its parts swap by one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bus_toolkit.engine import RunOptions, evaluate, train
from bus_toolkit.errors import BusError, CheckpointError, ConfigError, DataError
from tests.small_run import small

CONFIG = Path(__file__).parent.parent / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the first run fills with scenes and the others share."""
    return tmp_path_factory.mktemp("scenes")


def all_heads(scenes: Path, *more: str) -> list[str]:
    """Return overrides for two steps an epoch in which every head takes part from the start."""
    return small(
        scenes,
        "model.heads.itm.start_epoch=0",
        "model.heads.mlm.start_epoch=0",
        "model.heads.prefix_lm.start_epoch=0",
        "val_cfg.rerank_topk=2",
        "test_cfg.rerank_topk=2",
        *more,
    )


def options(folder: Path, **flags: object) -> RunOptions:
    return RunOptions(work_dir=str(folder), **flags)  # type: ignore[arg-type]


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"epoch_{epoch}.pth", weights_only=False)["state_dict"]


@pytest.mark.slow
def test_training_stops_resumes_and_evaluates(scenes: Path, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    # Flips off: the state of the loader's random numbers is not part of a checkpoint.
    two_epochs = all_heads(scenes, "train_cfg.max_epochs=2", "train_dataloader.dataset.pipeline.1.prob=0")
    train(CONFIG, two_epochs, options(whole, no_validate=True))
    # The same run, cut back to the end of its first epoch.
    train(CONFIG, [*two_epochs, "default_hooks.checkpoint.max_keep_ckpts=2"], options(halves, no_validate=True))
    (halves / "epoch_2.pth").unlink()
    (halves / "last_checkpoint").write_text(str(halves / "epoch_1.pth"))
    train(CONFIG, two_epochs, options(halves, no_validate=True, resume="latest"))
    first, second = weights(whole, 2), weights(halves, 2)
    assert set(first) == set(second)
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=name)
    metrics = evaluate(
        CONFIG,
        all_heads(scenes),
        options(tmp_path / "test", load_from=str(halves / "epoch_2.pth")),
        out=tmp_path / "metrics.json",
    )
    assert json.loads((tmp_path / "metrics.json").read_text()).keys() == metrics.keys()
    for key in (
        "retrieval/i2t_R@1",
        "retrieval/rerank_t2i_R@1",
        "patch_text/auc_named",
        "itm/accuracy",
        "mlm/accuracy",
    ):
        assert 0.0 <= metrics[key] <= 1.0
    assert {path.suffix for path in (tmp_path / "test" / "report" / "test").iterdir()} == {".json", ".png"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "swap",
    [
        ["model.selectors.0.type=Random"],
        ["model.decoder.type=Identity"],
        ["model.selectors=[]", "model.heads.ptm.object_weight=0"],
        ["model.selectors=[]"],
        ["model.fusion.type=CrossAttentionFusion"],
        ["model.conditioning.mode=strict"],
        ["model.selectors.0.keep_ratio={start: 1.0, end: 0.5, epochs: 1, shape: cosine}"],
    ],
    ids=lambda swap: swap[0],
)
def test_a_part_is_swapped_by_one_line(swap: list[str], scenes: Path, tmp_path: Path) -> None:
    train(CONFIG, all_heads(scenes, *swap), options(tmp_path, no_validate=True))
    assert (tmp_path / "epoch_1.pth").is_file()
    assert (tmp_path / "config.yaml").is_file()


def test_boxes_on_few_images_train_with_a_batch_of_their_own(scenes: Path, tmp_path: Path) -> None:
    extra = "{type: RegionBatchSampler, region_batch_size: 4}"
    swaps = ["train_dataloader.dataset.box_fraction=0.5", f"train_dataloader.batch_sampler={extra}"]
    train(CONFIG, all_heads(scenes, *swaps), options(tmp_path, no_validate=True))
    assert (tmp_path / "epoch_1.pth").is_file()


@pytest.mark.slow
def test_a_fixed_seed_gives_the_same_numbers_twice(scenes: Path, tmp_path: Path) -> None:
    results = []
    for name in ("one", "two"):
        train(CONFIG, all_heads(scenes), options(tmp_path / name, seed=7))
        results.append(json.loads(next((tmp_path / name).rglob("results.json")).read_text()))
    assert results[0]["metrics"] == results[1]["metrics"]


@pytest.mark.parametrize(
    ("override", "kind", "message"),
    [
        ("model.selectors.0.type=TSSP", ConfigError, r"model.selectors.0.type: .*'TSSP'.*Did you mean 'TSPS'"),
        ("model.selectors.0.keep_rate=0.3", ConfigError, r"model.selectors.0.*keep_rate.*keep_ratio"),
        ("model.selectors.0.keep_ratio=half", ConfigError, r"model.selectors.0.keep_ratio.*'half'"),
        ("model.selectors.0.blocks=[9]", BusError, r"model.selectors.0.blocks: the backbone has 6 blocks"),
        ("model.fusion=null", ConfigError, r"model.heads.itm: ITMHead reads fused tokens"),
        ("model.heads.itc.queue_size=64", ConfigError, r"model.heads.itc.queue_size: a queue holds features"),
        ("load_from=missing.pth", CheckpointError, r"missing.pth"),
        ("train_dataloader.dataset.split=trian", DataError, r"no split named 'trian'"),
    ],
)
def test_mistakes_are_reported_in_the_terms_of_the_yaml(
    override: str, kind: type[BusError], message: str, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        train(CONFIG, all_heads(scenes, override), options(tmp_path / "run", no_validate=True))
    assert not list(tmp_path.rglob("*.pth"))


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml"):
        train(tmp_path / "nowhere.yaml")
