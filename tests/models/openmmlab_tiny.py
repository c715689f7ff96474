"""Tiny configs of mmpretrain's own for tests of our backbone in them: width 32, four blocks, images 32 x 32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmpretrain.models  # noqa: F401 (fills the registry)
import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image
from torch import Tensor

import bus_toolkit.openmmlab  # noqa: F401 (registers ours)

ARCH = {"embed_dims": 32, "num_layers": 4, "num_heads": 4, "feedforward_channels": 64}
PATCHES = 16


def vit(kind: str = "VisionTransformer", **settings: Any) -> dict[str, Any]:
    """Return the config of a plain transformer with 4 x 4 patches."""
    return {"type": kind, "arch": ARCH, "img_size": 32, "patch_size": 8, **settings}


def reduced(*selectors: dict[str, Any], plain: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """Return the config of our backbone around a plain one."""
    return {"type": "bus_toolkit.TokenReducedViT", "vit": plain or vit(), "selectors": list(selectors), **settings}


def built(cfg: dict[str, Any], seed: int = 1) -> Any:  # a backbone
    """Build in eval mode by mmpretrain's registry; every parameter is away from its start."""
    model = MODELS.build(Config({"_scope_": "mmpretrain", **cfg}))  # whatever scope another test left
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.eval()
    return model


def images(batch: int = 2, size: int = 32) -> Tensor:
    """Return images (B, 3, size, size)."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def write_pictures(folder: Path, count: int = 8) -> None:
    """Write pictures of two classes, dark and bright, as mmpretrain's ``CustomDataset`` reads them."""
    random = np.random.default_rng(0)
    for index in range(count):
        place = folder / ("bright" if index % 2 else "dark")
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 80, (32, 32, 3)) + 150 * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")


def run_config(folder: Path, backbone: dict[str, Any], **settings: Any) -> Config:
    """Return a whole config in mmpretrain's words: two epochs of two batches on the pictures in ``folder / 'data'``."""
    write_pictures(folder / "data")
    steps = [{"type": "LoadImageFromFile"}, {"type": "PackInputs"}]
    loader = {
        "batch_size": 4,
        "num_workers": 0,
        "persistent_workers": False,  # mmpretrain's tools would set it
        "sampler": {"type": "DefaultSampler", "shuffle": True},
        "dataset": {"type": "CustomDataset", "data_root": str(folder / "data"), "pipeline": steps},
    }
    head = {"type": "VisionTransformerClsHead", "num_classes": 2, "in_channels": 32}
    parts = {
        "custom_imports": {"imports": ["bus_toolkit.openmmlab"], "allow_failed_imports": False},
        "default_scope": "mmpretrain",
        "model": {"type": "ImageClassifier", "backbone": backbone, "head": head},
        "data_preprocessor": {"mean": [127.5] * 3, "std": [127.5] * 3},
        "train_dataloader": loader,
        "val_dataloader": loader,
        "test_dataloader": loader,
        "val_evaluator": {"type": "Accuracy"},
        "test_evaluator": {"type": "Accuracy"},
        "train_cfg": {"by_epoch": True, "max_epochs": 2},
        "val_cfg": {},
        "test_cfg": {},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-3}},
        "randomness": {"seed": 0},
        "log_level": "ERROR",
        "work_dir": str(folder / "run"),
        "experiment_name": folder.name,
        **settings,
    }
    return Config(parts)
