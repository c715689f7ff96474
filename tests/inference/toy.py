"""A run folder with random weights: a model of width 32 with every head that can be asked, on drawn scenes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from mmengine.evaluator import BaseMetric
from PIL import Image
from torch import nn

from bus_toolkit import Inferencer, build_model, load_config
from bus_toolkit.config import dump_config
from bus_toolkit.registry import METRICS

ROOT = Path(__file__).parents[2]
SIDE = 32
TEXTS = ("a small red circle above a large blue square", "a large green star", "a small white triangle")
_LAYERS = {"num_layers": 1, "num_heads": 4}
_SEARCH = {"beam_size": 2, "max_length": 6}


@METRICS.register_module(force=True)
class KeepPredictions(BaseMetric):
    """Hold on to what an evaluation predicted."""

    default_prefix = "kept"
    seen: list[dict[str, Any]] = []

    def process(self, data_batch, data_samples):
        self.results += [0.0] * len(data_samples)
        self.seen.extend(data_samples)

    def compute_metrics(self, results):
        return {"count": float(len(results))}


def run_config(scenes: Path, **heads: Any) -> dict[str, Any]:
    """Return a config of 64 px scenes that its pipeline brings to 32 px; ``heads`` replace those of all questions."""
    every = {
        "itc": {"type": "ITCHead", "feature_dim": 16},
        "itm": {"type": "ITMHead"},
        "caption": {"type": "CaptionHead", "search": _SEARCH},
        "vqa": {"type": "VQAHead", "search": _SEARCH},
        "grounding": {"type": "GroundingHead"},
    }
    dataset = {
        "type": "SceneDataset",
        "data_root": str(scenes),
        "split": "val",
        "num_images": 5,
        "scenes": {},
        "max_bad_samples": 0,
        "pipeline": [
            {"type": "LoadImage"},
            {"type": "mmpretrain.Resize", "scale": [SIDE, SIDE], "interpolation": "bicubic", "backend": "pillow"},
            {"type": "PackRegions"},
        ],
    }
    return {
        "_base_": str(ROOT / "registry_configs" / "_base_" / "runtime.yaml"),
        "default_hooks": {"report": None},
        "model": {
            "type": "VLPModel",
            "data_preprocessor": {
                "type": "mmpretrain.MultiModalDataPreprocessor",
                "mean": [127.5, 100.0, 110.0],  # three different ones: a swap of channels would show
                "std": [60.0, 50.0, 70.0],
                "to_rgb": True,
            },
            "tokenizer": {"type": "CorpusTokenizer", "max_length": 16},
            "text_encoder": {"type": "BertTextEncoder", "hidden_size": 32, "max_text_length": 16, **_LAYERS},
            "backbone": {
                "type": "mmpretrain.VisionTransformer",
                "arch": {"embed_dims": 32, "num_layers": 3, "num_heads": 4, "feedforward_channels": 64},
                "img_size": SIDE,
                "patch_size": 8,
                "out_type": "raw",
            },
            "selectors": [
                {"type": "TSPS", "blocks": [1], "keep_ratio": 0.5},
                {"type": "ELIP", "blocks": [3], "look_ahead": 1, "keep_ratio": 0.25},
            ],
            "decoder": {"type": "PAD", "num_queries": 3, **_LAYERS},
            "fusion": {"type": "CrossAttentionFusion", **_LAYERS},
            "text_decoder": {"type": "BertTextDecoder", "max_text_length": 16, **_LAYERS},
            "heads": heads or every,
            "conditioning": {"mode": "free_itc", "without_text": "prompt"},
        },
        "test_dataloader": {
            "batch_size": 3,
            "num_workers": 0,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "collate_fn": {"type": "default_collate"},
            "dataset": dataset,
        },
        "test_cfg": {"type": "VLPEvalLoop"},
        "test_evaluator": [{"type": "KeepPredictions"}],
    }


def write_run(folder: Path, config: dict[str, Any], *, seed: int = 0) -> Path:
    """Write ``config.yaml`` and ``epoch_1.pth`` with random weights that are large enough to matter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.yaml").write_text(yaml.safe_dump(config))
    cfg = load_config(folder / "source.yaml")
    dump_config(cfg, folder / "config.yaml")
    torch.manual_seed(seed)
    model = build_model(cfg)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            # What is written must depend on the image.
            torch.nn.init.normal_(parameter, std=0.6 if "text_decoder" in name or "caption" in name else 0.2)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "epoch_1.pth")
    return folder


@contextmanager
def without_head(inferencer: Inferencer, name: str) -> Iterator[None]:
    """Leave one head of a model that tests share out for a while.

    Other heads take the place of all: one that was taken out and put back would be the last, and tests see the order.
    """
    heads = inferencer.model.heads
    inferencer.model.heads = nn.ModuleDict({other: head for other, head in heads.items() if other != name})
    try:
        yield
    finally:
        inferencer.model.heads = heads


def photos(folder: Path, count: int = 3, size: tuple[int, int] = (48, 40)) -> list[Path]:
    """Write PNGs of ``size`` (width, height) with smooth random colours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    paths = []
    for number in range(count):
        coarse = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
        paths.append(folder / f"photo_{number}.png")
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths
