"""The demo's model at width 64 on a few scenes, through the real Runner: for tests of what a training can switch on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from bus_toolkit.config import load_config
from bus_toolkit.engine import BusRunner, RunOptions, build_runner

CONFIG = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
HEADS = ("itc", "itm", "mlm", "prefix_lm", "ptm")
_SMALL = (
    "model.text_encoder.hidden_size=64",
    "model.backbone.arch.embed_dims=64",
    "model.backbone.arch.feedforward_channels=256",
    "model.backbone.arch.num_layers=4",
    *(f"model.heads.{name}.start_epoch=0" for name in ("itm", "mlm", "prefix_lm")),
    "train_dataloader.dataset.num_images=24",
    "train_dataloader.dataset.pipeline.1.prob=0",  # flips draw from the loader's own random numbers
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=false",
    *(f"{loader}.dataset.num_images=6" for loader in ("val_dataloader", "test_dataloader")),
    *(f"{loop}.rerank_topk=2" for loop in ("val_cfg", "test_cfg")),
    "param_scheduler=null",
    "optim_wrapper.optimizer.lr=5e-4",
)


def vlp_config(scenes: Path, *more: str, steps: int = 2, batch_size: int = 6) -> Config:
    """Return the config of ``steps`` iterations without evaluation, unless ``more`` says otherwise."""
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    loop = f"{{_delete_: true, type: IterBasedTrainLoop, max_iters: {steps}, val_interval: 100000}}"
    return load_config(
        CONFIG,
        [
            *(f"{loader}.dataset.data_root={scenes}" for loader in loaders),
            *_SMALL,
            f"train_cfg={loop}",
            "default_hooks.checkpoint.by_epoch=false",
            f"train_dataloader.batch_size={batch_size}",
            *more,
        ],
    )


def train_vlp(config: Config, folder: Path) -> BusRunner:
    """Train and return the Runner; a config without validation interval is not evaluated."""
    evaluated = config.train_cfg.val_interval < 100000
    runner = build_runner(config, RunOptions(work_dir=str(folder), no_validate=not evaluated))
    runner.train()
    return runner


def losses(runner: BusRunner, names: Sequence[str] = HEADS) -> dict[str, list[float]]:
    """Return every iteration's value of each loss."""
    return {name: runner.message_hub.get_scalar(f"train/loss_{name}").data[0].tolist() for name in names}
