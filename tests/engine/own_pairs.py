"""A CSV, a folder of pictures and the shipped config for own pairs, cut to a small model and two steps."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

CONFIG = "own_data/pairs_tiny"
WORDS = ("crimson", "teal", "ochre", "mauve", "umber")


def write_pairs(folder: Path, count: int = 10, side: int = 20) -> None:
    """Write ``count`` pictures and ``pairs.csv`` into a folder."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    with open(folder / "pairs.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "caption"])
        for number in range(count):
            cv2.imwrite(str(folder / f"photos/{number}.png"), np.full((side, side + 4, 3), 9 * number, np.uint8))
            table.writerow([f"{number}.png", f"a {WORDS[number % len(WORDS)]} disc"])


def settings(folder: Path, *more: str) -> list[str]:
    """Return overrides: the data of ``folder``, 16 px, width 32, two blocks, one epoch of two steps, no processes."""
    return [
        f"settings.pairs={folder / 'pairs.csv'}",
        f"settings.images={folder / 'photos'}",
        "settings.img_size=16",
        "model.backbone.arch={embed_dims: 32, num_layers: 2, num_heads: 2, feedforward_channels: 32}",
        "model.selectors=[{type: Random, blocks: [1]}]",
        "model.text_encoder={type: BertTextEncoder, num_layers: 1, hidden_size: 32, num_heads: 2, max_text_length: 32}",
        "model.fusion={type: SkipConnectedFusion, num_layers: 1, stride: 1, num_heads: 2}",
        "model.heads={_delete_: true, itc: {type: ITCHead, feature_dim: 8}}",
        "train_dataloader.batch_size=4",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=false",
        "train_cfg.max_epochs=1",
        "val_evaluator=[{type: RetrievalRecall}]",
        "val_cfg={type: VLPEvalLoop, rerank_topk: 0}",
        "test_evaluator=[{type: RetrievalRecall}]",
        "test_cfg={type: VLPEvalLoop, rerank_topk: 0}",
        "default_hooks.report=null",
        "param_scheduler=[{type: LinearLR, start_factor: 0.5, by_epoch: false, begin: 0, end: 2}]",
        *more,
    ]
