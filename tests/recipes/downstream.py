"""Run the downstream recipes on miniatures: three steps and an evaluation of each, at width 32.

``python -m tests.recipes.downstream`` runs all of them and prints a table of the metrics; the tests run some.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from bus_toolkit import load_config
from bus_toolkit.cli.prepare import COMMAND
from bus_toolkit.engine.build_runner import build_runner
from bus_toolkit.engine.options import RunOptions
from tests.data.preparation import miniatures

SYSTEMS = ("albef", "bus", "copa", "elip", "trips")
# By task, the metric that its evaluation must print.
TASKS = {
    "retrieval_base": "retrieval/rerank_i2t_R@1",
    "retrieval_zero_shot": "retrieval/rerank_i2t_R@1",
    "vqa_base": "vqa/accuracy",
    "caption_base": "caption/CIDEr_D",
    "caption_scst_base": "caption/CIDEr_D",
    "nocaps_base": "caption/out-domain_CIDEr_D",
    "nlvr2_base": "classification/accuracy",
    "entailment_base": "classification/accuracy",
    "grounding_base": "grounding/accuracy",
    "classification_zero_shot": "zero_shot/accuracy@1",
}
RECIPES = [f"{system}/{system}_{task}" for task in TASKS for system in SYSTEMS]
STEPS = 3
WIDTH, HEADS, ROWS = 32, 2, 4


def write_data(root: Path) -> None:
    """Write every public data set of the recipes to ``root/data``, by ``bus-toolkit prepare`` from a miniature."""
    for name in ("coco", "flickr30k", "vqa_v2", "refcoco", "nlvr2", "snli_ve"):
        source = getattr(miniatures, name)(root / "raw" / name)
        for path in (path for path in source.rglob("*") if path.suffix in (".jpg", ".png")):
            picture(path)
        with contextlib.redirect_stdout(None):
            COMMAND.main([name, str(source), "--out", str(root / "data" / name), "--any-count"])
    answers = root / "data" / "vqa_v2" / "answers.txt"
    answers.write_text("".join(f"{answer}\n" for answer in ("yes", "no", "2", "red")))
    nocaps = miniatures.nocaps(root / "data" / "nocaps")
    for path in nocaps.glob("val/*.jpg"):
        picture(path)
    imagenet = root / "data" / "imagenet"
    miniatures.write(imagenet, {"meta/val.txt": "".join(f"{label}.JPEG {label}\n" for label in range(4)), "val/x": ""})
    for label in range(4):
        picture(imagenet / "val" / f"{label}.JPEG")


def picture(path: Path) -> None:
    """Write a picture of 9 x 9 random pixels, which the annotations of the miniatures state."""
    pixels = np.random.default_rng(sum(path.name.encode())).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG" if path.suffix == ".png" else "JPEG")


def small(recipe: str) -> Config:
    """Return a recipe with towers of width 32 and patches that make a grid of 4 x 4, and nothing on the disk."""
    config = load_config(recipe)
    model = config.model
    arch = model.backbone.arch
    depth = arch.num_layers if isinstance(arch, Mapping) else 12
    model.backbone.arch = {
        "embed_dims": WIDTH,
        "num_layers": depth,
        "num_heads": HEADS,
        "feedforward_channels": WIDTH,
    }
    model.backbone.patch_size = model.backbone.img_size // ROWS
    model.text_encoder.update(hidden_size=WIDTH, num_layers=1, num_heads=HEADS)
    for part in ("fusion", "text_decoder", "decoder"):
        if model.get(part) is not None and "num_heads" in model[part]:
            model[part].num_heads = HEADS
    for name, changes in (("text_decoder", {"num_layers": 1}), ("decoder", {"num_queries": 3})):
        if model.get(name) is not None and set(changes) <= set(model[name]):
            model[name].update(changes)
    if "itc" in model.heads:
        model.heads.itc.update(feature_dim=16, queue_size=8)
    if "rank_topk" in model.heads.get("vqa", {}):
        model.heads.vqa.rank_topk = 2
    config.load_from = None
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if config.get(loader) is not None:
            config[loader].update(num_workers=0, persistent_workers=False, pin_memory=False, batch_size=2)
    if config.train_cfg is not None:
        rows = {"scst": 2, "entailment": 1, "nlvr2": 2, "grounding": 2, "vqa": 10}  # others have 4
        config.train_dataloader.batch_size = next((count for task, count in rows.items() if task in recipe), 4)
        config.train_cfg.update(max_epochs=STEPS)  # of one step
    for hook in ("report", "checkpoint", "progress", "logger"):
        config.default_hooks[hook] = None
    config.visualizer.vis_backends = []
    return config


class Measured(Hook):
    """Keeps what the last evaluation printed."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.metrics = metrics or {}

    after_test_epoch = after_val_epoch


def run(recipe: str, work_dir: Path) -> tuple[int, dict[str, float]]:
    """Return the steps that a recipe trained, and the metrics of its evaluation; the data are in the current folder."""
    runner = build_runner(small(recipe), RunOptions(work_dir=str(work_dir)))
    measured = Measured()
    runner.register_hook(measured)
    if runner.cfg.train_cfg is None:
        runner.test()
        return 0, measured.metrics
    runner.train()
    return runner.iter, measured.metrics


def main(recipes: Sequence[str] = RECIPES) -> None:
    """Run recipes on miniatures and print what each of them measured."""
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        os.chdir(folder)
        print("| recipe | steps | metric |\n| --- | --- | --- |")
        for recipe in recipes:
            steps, metrics = run(recipe, Path(folder) / "work_dirs" / recipe)
            key = TASKS[recipe.split("_", 1)[1]]
            print(f"| {recipe} | {steps} | {key} {metrics[key]:.3f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or RECIPES)
