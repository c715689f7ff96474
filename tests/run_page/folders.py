"""Folders as runs leave them, written by hand."""

import json

import numpy as np

from bus_toolkit.visualization.kept_patches import PatchPicture
from bus_toolkit.visualization.kept_stages import KeptStages

STEPS = (50, 100, 150)


def write_start(folder, name, steps=STEPS, *, resume="false", rate=0.001, last_line=""):
    """Write one start of a training: its config and what it logged."""
    start = folder / name
    (start / "vis_data").mkdir(parents=True)
    (start / "config.yaml").write_text(f"resume: {resume}\n")
    lines = []
    for step in steps:
        tokens = {"tokens_free_rows": 8.0, "tokens_free_block_2": 40.0, "tokens_free_decoder": 17.0}
        figures = {"lr": rate, "grad_norm": 2.0, "samples_per_second": 100.0, "time": 0.1, **tokens}
        lines.append({**figures, "loss": 10 / step, "loss_itc": 5 / step, "epoch": 1, "iter": step, "step": step})
        lines.append({"vqa/accuracy": step / 1000, "vqa/by_question_type": 0.1, "step": 0})
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (start / "vis_data/scalars.json").write_text(text + last_line)


def write_run(folder, *, text="a red disc", rate=0.001, name="20260101_000000"):
    """Write a whole run; returns its folder."""
    write_start(folder, name, rate=rate)
    (folder / "config.yaml").write_text(
        f"resume: false\noptim_wrapper:\n  optimizer: {{lr: {rate}}}\nwork_dir: {folder}\n"
    )
    (folder / "report").mkdir()
    picture = PatchPicture(np.full((32, 32, 3), 128, np.uint8), text, (4, 4), np.arange(16) < 3)
    kept = KeptStages.of_picture(picture, [("after block 2", np.arange(16) < 8), ("after block 4", np.arange(16) < 3)])
    (folder / "report/kept.json").write_text(json.dumps({"of": f"Validation of {text}", "samples": [kept.__dict__]}))
    notes = {
        "state": "finished",
        "iteration": 150,
        "max_iterations": 150,
        "updated": "2026-01-01 00:00:00",
        "recipe": "bus/bus_vqa_scenes_small",
        "metrics": {"vqa/accuracy": 0.15, "vqa/by_question_type": 0.1},
        "bad_samples": [{"name": text, "size": 40, "rows": [3, 7]}],
        "environment": {"python": "3.11", "command": text},
    }
    (folder / "report/page.json").write_text(json.dumps(notes))
    return folder
