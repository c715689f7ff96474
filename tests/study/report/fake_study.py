"""A generated study: arms whose accuracies are known, written as the runs of a study write them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.study.report.panels import Panel

STUDY = """
title: A generated study
report:
  reference: text-aware
  unpruned: full
  smaller_image: smaller image
  ceilings: [oracle]
  baselines: [random]
  keep: 0.11
  tasks: {attribute: an attribute of a small named object}
  claims:
    - {says: reading the text is worth 10 points, task: attribute, keep: 0.11, arm: text-aware, above: random, by: 10}
    - {says: another text is no help, task: attribute, keep: 0.11, wrong_text_of: text-aware, at_most: random}
    - {says: the control is flat, task: control, keep: 0.11, arm: text-aware, within: 5, of: random}
    - {says: half of the time, task: attribute, keep: 0.11, time_of: text-aware, at_most: 0.67}
"""
PROPERTIES = {
    "text-aware": {"selectors": ["TSPS"], "needs_text": True, "learns_from_boxes": True, "boxes_in_training": True},
    "EViT": {"selectors": ["EViT"], "needs_text": False, "learns_from_boxes": False, "boxes_in_training": True},
}
# Accuracy at keep 0.25 and 0.11; of arms without a ratio the same number twice.
ATTRIBUTE = {
    "full": (0.99, 0.99),
    "text-aware": (0.98, 0.97),
    "EViT": (0.9, 0.6),
    "random": (0.64, 0.42),
    "smaller image": (0.97, 0.3),
    "oracle": (1.0, 1.0),
}


def write_run(out: Path, task: str, arm: str, keep: float, seed: int, **more: Any) -> Path:
    """Write a finished run; ``more``: ``right`` (share), ``wrong_text`` (share), ``questions``, ``result`` (fields)."""
    folder = out / task / arm.replace(" ", "_") / f"keep_{keep:g}" / f"seed_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    right = more.get("right", 0.5)
    macs = round(4e8 if keep == 1 else 4e8 * (0.25 + 0.7 * keep))
    steps = [200, 400, 600, 800]
    result = {
        "task": task,
        "arm": arm,
        "keep": keep,
        "seed": seed,
        "fingerprint": f"{task} {arm} {keep} {seed}",
        "metrics": {"classification/accuracy": right},
        "wrong_text": None,
        "macs": {"inference": macs, "step": 3 * macs},
        "target_macs": macs + 1_000_000,
        "tokens": {"backbone": 144.0 if keep == 1 else round(144 * keep)},
        "changes": {"model.selectors.0.keep_ratio": keep},
        "image_size": [96, 96],
        "train": {"steps": 800, "seconds": 100.0 + macs / 1e7, "samples_per_second": 90.0},
        "curve": [
            {
                "step": step,
                "seconds": step * macs / 4e8,
                "macs": float(step * 32 * 3 * macs),
                "val": {"classification/accuracy": right * (1 - 0.5 ** (1 + step / 60))},
            }
            for step in steps
        ],
        "machine": {"processor": "generated"},
        "started": "2026-01-01T00:00:00",
        "chosen_on": "val",
        "properties": PROPERTIES.get(arm, {"selectors": ["Random"], "needs_text": False}),
        **more.get("result", {}),
    }
    (folder / "result.json").write_text(json.dumps(result))
    write_samples(folder / "samples.jsonl.gz", task, right, f"{task} {arm} {keep} {seed}", more.get("questions", 240))
    if "wrong_text" in more:
        share = more["wrong_text"]
        write_samples(folder / "samples_wrong.jsonl.gz", task, share, f"{arm} {seed} wrong", more.get("questions", 240))
    return folder


def write_samples(file: Path, task: str, right: float, draw: str, questions: int) -> None:
    """Write per-sample lines, three questions an image, ``right`` of them right on average."""
    rng = random.Random(draw)
    rows = []
    for number in range(questions):
        correct = int(rng.random() < right)
        row = {"id": number, "image": number // 3, "kind": task, "prediction": "x", "answer": "red", "correct": correct}
        rows.append(json.dumps(row))
    with gzip.open(file, "wt") as packed:
        packed.write("".join(f"{row}\n" for row in rows))


def write_study(
    folder: Path, *, seeds: Sequence[int] = (0, 1, 2), arms: Mapping[str, tuple[float, float]] = ATTRIBUTE, **more: Any
) -> tuple[Path, Path]:
    """Write a study and all its runs; return its YAML and the folder of the runs."""
    file = folder / "needles.yaml"
    file.write_text(STUDY)
    out = folder / "out"
    for task in ("attribute", "control"):
        for arm, values in arms.items():
            for keep, right in zip((0.25, 0.11), values, strict=True):
                share = right if task == "attribute" else 0.9
                wrong = {"wrong_text": 0.25} if arm == "text-aware" else {}
                for seed in seeds if task == "attribute" else seeds[:1]:
                    write_run(out, task, arm, 1.0 if arm == "full" else keep, seed, right=share, **wrong, **more)
    return file, out


def panel_of(panels: Sequence[Panel], name: str, keep: float) -> Panel:
    """Return one of the panels of the study."""
    return next(panel for panel in panels if panel.name == name and panel.keep == keep)
