"""The few files of data that shipped models are built from, as small stand-ins."""

from __future__ import annotations

import json
from pathlib import Path


def write_stand_ins() -> None:
    """Write them into the working directory: pairs of one's own, answers to rank, captions to compare with."""
    Path("pairs.csv").write_text("image,caption\n0.png,a picture\n")  # own_data counts its words
    answers = Path("data/vqa_v2/answers.txt")
    answers.parent.mkdir(parents=True)
    answers.write_text("".join(f"{n}\n" for n in range(128)))
    captions = Path("data/coco/captions_train.json")
    captions.parent.mkdir(parents=True)
    picture = {"id": 1, "file_name": "1.jpg"}
    caption = {"id": 1, "image_id": 1, "caption": "a picture"}
    captions.write_text(json.dumps({"images": [picture], "annotations": [caption]}))
