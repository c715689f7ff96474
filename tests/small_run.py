"""Overrides that cut a recipe on scenes to two steps an epoch."""

from __future__ import annotations

from pathlib import Path


def small(scenes: Path, *more: str) -> list[str]:
    """Return overrides for two steps of 8 captions an epoch, and an evaluation on 6 images."""
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    return [
        *(f"{loader}.dataset.data_root={scenes}" for loader in loaders),
        "train_dataloader.dataset.num_images=4",
        "train_dataloader.batch_size=8",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        "val_dataloader.dataset.num_images=6",
        "test_dataloader.dataset.num_images=6",
        *more,
    ]
