"""What the test of the first kept run does in a process of its own, which finds the kept plugin as an installed one."""

from __future__ import annotations

import json
import sys

import numpy as np

from bus_toolkit import Inferencer
from bus_toolkit.engine import RunOptions, train
from bus_toolkit.testing.plugin import check_plugin

TEXTS = ["a small red circle", "a large blue square above a star", "green"]


def pictures() -> list[np.ndarray]:
    """Return the three pictures that were asked about, uint8 (64, 64, 3)."""
    y, x = np.mgrid[0:64, 0:64]
    channels = [[(x * (n + 1)) % 256, (y * (3 - n)) % 256, (x + y + 80 * n) % 256] for n in range(3)]
    return [np.stack(one, -1).astype("uint8") for one in channels]


def main(config: str, user_config: str, checkpoint: str) -> None:
    """Ask both configs with the checkpoint, go on with the training, check the plugin; print the answers."""
    answers = []
    for path in (config, user_config):
        ranked = Inferencer(path, checkpoint=checkpoint, device="cpu").retrieve(
            pictures(), TEXTS, topk=3, rerank=3, direction="t2i"
        )
        answers.append([sorted((r["index"], r["score"], r["match"]) for r in of_text) for of_text in ranked])
    train(config, options=RunOptions(work_dir="went_on", resume=checkpoint, no_validate=True))
    problems = [verdict.problem for verdict in check_plugin("bus_old_selector")]
    print(json.dumps({"answers": answers, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
