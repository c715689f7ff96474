"""The recipes of several sources, cut to a few steps: they train, resume, evaluate, and report mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.shards.shard_sources import pairs_of_coco
from bus_toolkit.data.shards.write_shards import write_shards
from bus_toolkit.engine import RunOptions, evaluate, train
from bus_toolkit.errors import ConfigError, DataError

CONFIGS = Path(__file__).parent.parent / "registry_configs"
TINY = CONFIGS / "bus" / "bus_multitask_scenes_tiny.yaml"
SOURCES = "train_dataloader.dataset.sources"
HEADS = ("itm", "mlm", "prefix_lm")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the first run fills with scenes and the others share."""
    return tmp_path_factory.mktemp("scenes")


def small(scenes: Path, *more: str) -> list[str]:
    """Return overrides for two steps an epoch, 6 captions and 2 boxed rows each, with all heads from the start."""
    return [
        *(f"{SOURCES}.{name}.dataset.data_root={scenes}" for name in ("captions", "boxes")),
        *(f"{SOURCES}.{name}.dataset.num_images=4" for name in ("captions", "boxes")),
        f"{SOURCES}.boxes.dataset.box_fraction=0.5",
        *(f"{loader}_dataloader.dataset.data_root={scenes}" for loader in ("val", "test")),
        *(f"{loader}_dataloader.dataset.num_images=6" for loader in ("val", "test")),
        "train_dataloader.batch_size=8",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        *(f"model.heads.{head}.start_epoch=0" for head in HEADS),
        "val_cfg.rerank_topk=2",
        "test_cfg.rerank_topk=2",
        *more,
    ]


@pytest.mark.slow
def test_two_sources_train_resume_and_are_evaluated(scenes: Path, tmp_path: Path) -> None:
    # Flips and descriptions are drawn by the loader's random numbers, which are not part of a checkpoint.
    still = [f"{SOURCES}.{name}.dataset.pipeline.1.prob=0" for name in ("captions", "boxes")]
    overrides = small(scenes, "train_cfg.max_epochs=2", f"{SOURCES}.boxes.boxed_only=false", *still)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    kept = [*overrides, "default_hooks.checkpoint.max_keep_ckpts=2"]
    train(TINY, kept, RunOptions(work_dir=str(whole), no_validate=True))
    halves.mkdir()
    (halves / "epoch_1.pth").write_bytes((whole / "epoch_1.pth").read_bytes())
    (halves / "last_checkpoint").write_text(str(halves / "epoch_1.pth"))
    train(TINY, overrides, RunOptions(work_dir=str(halves), no_validate=True, resume="latest"))
    first, second = (torch.load(folder / "epoch_2.pth", weights_only=False) for folder in (whole, halves))
    assert first["meta"]["iter"] == second["meta"]["iter"] == 4
    for name, value in first["state_dict"].items():
        torch.testing.assert_close(value, second["state_dict"][name], msg=name)
    options = RunOptions(work_dir=str(tmp_path / "test"), load_from=str(halves / "epoch_2.pth"))
    metrics = evaluate(TINY, small(scenes), options)
    for name in ("retrieval/i2t_R@1", "patch_text/auc_named", "itm/accuracy", "mlm/accuracy"):
        assert 0.0 <= metrics[name] <= 1.0


def test_rows_with_boxes_alone_bring_descriptions_of_their_own(scenes: Path, tmp_path: Path) -> None:
    """The recipe as it is: the caption rows have no boxes, so that only the second source moves the loss."""
    train(TINY, small(scenes), RunOptions(work_dir=str(tmp_path), no_validate=True))
    scalars = next(tmp_path.rglob("scalars.json")).read_text()
    assert '"loss_ptm"' in scalars and '"loss_ptm": 0.0' not in scalars


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        (f"{SOURCES}.boxes.objectives=[ptn]", ConfigError, "sources.boxes.objectives: no head is named 'ptn'"),
        (f"{SOURCES}.captions.objectives=[itc, itm, mlm]", ConfigError, "model.heads.prefix_lm: no row of the batch"),
        (f"{SOURCES}.boxes.dataset.box_fraction=0", DataError, "sources.boxes: SceneDataset has no rows with boxes"),
        (f"{SOURCES}.boxes.dataset.type=SceneDatasets", ConfigError, "sources.boxes.dataset.type: .*'SceneDataset'"),
        (
            "train_dataloader.batch_sampler.weights={captions: 3, boxe: 1}",
            DataError,
            "weights.boxe: no .*mean .boxes.",
        ),
    ],
)
def test_mistakes_are_reported_in_the_terms_of_the_yaml(
    override: str, error: type[Exception], message: str, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(TINY, small(scenes, override), RunOptions(work_dir=str(tmp_path), no_validate=True))


def test_the_large_recipe_reads_shards_and_regions(tmp_path: Path) -> None:
    """Its data as in the file, on a small model: paths and sizes are all that is changed."""
    folder = prepare_scenes(tmp_path / "scenes", "train", 4, SceneSettings.parse({}), 1)
    write_shards(pairs_of_coco(str(folder), "captions_train.json"), tmp_path / "shards", samples_per_shard=5)
    recipe = yaml.safe_load((CONFIGS / "bus" / "bus_mixed_base.yaml").read_text())
    base = recipe["_base_"] = [str(CONFIGS / "bus" / name) for name in recipe["_base_"]]
    base[0] = str(CONFIGS / "_base_" / "model_scenes.yaml")
    base[2] = str(CONFIGS / "_base_" / "schedule_tiny.yaml")
    recipe["model"] = {
        "selectors": [{"type": "TSPS", "blocks": [3], "keep_ratio": 0.5}],
        "decoder": {"type": "PAD", "num_layers": 1, "num_heads": 4},
        "heads": {name: {"type": kind} for name, kind in zip(
            ("itc", "itm", "mlm", "prefix_lm", "ptm"),
            ("ITCHead", "ITMHead", "MLMHead", "PrefixLMHead", "PatchTextHead"), strict=True,
        )},
    }  # fmt: skip
    config = tmp_path / "mixed.yaml"
    config.write_text(yaml.safe_dump(recipe))
    overrides = [
        f"{SOURCES}.pairs.dataset.shards={tmp_path}/shards/*.tar",
        f"{SOURCES}.pairs.dataset.pipeline.1.scale=[64, 64]",
        f"{SOURCES}.regions.dataset.dataset.data_root={folder}",
        f"{SOURCES}.regions.dataset.descriptions_file={folder}/instances_train.json",
        f"{SOURCES}.regions.dataset.pipeline.1.scale=[64, 64]",
        "val_dataloader=null",
        "val_cfg=null",
        "val_evaluator=null",
        "test_dataloader=null",
        "test_cfg=null",
        "test_evaluator=null",
        "train_dataloader.batch_size=8",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        "train_cfg.max_epochs=1",
        "model.tokenizer.type=WordPieceTokenizer",
    ]
    train(config, overrides, RunOptions(work_dir=str(tmp_path / "run"), no_validate=True))
    checkpoint = torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=False)
    # 16 captions, 7 of the 8 rows a batch: 8 * 2 / 32 is half a row, and a row is the least.
    assert checkpoint["meta"]["iter"] == 2
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values() if value.is_floating_point())
