"""Questions of three public forms about two images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PEOPLE = ["red"] * 6 + ["dark red"] * 3 + ["left"]


def vqa(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two questions and their annotations; ``changes`` replace keys of the second annotation."""
    questions = [
        {"question_id": 7000, "image_id": 7, "question": "What color is the car on the left?"},
        {"question_id": 7001, "image_id": 8, "question": "Is it raining?"},
    ]
    types = [("what color is the", "other"), ("is it", "yes/no")]
    notes: list[dict[str, Any]] = [
        {
            "question_id": question["question_id"],
            "image_id": question["image_id"],
            "question_type": types[place][0],
            "answer_type": types[place][1],
            "multiple_choice_answer": people[0],
            "answers": [
                {"answer_id": k + 1, "answer": answer, "answer_confidence": "yes"} for k, answer in enumerate(people)
            ],
        }
        for place, (question, people) in enumerate(zip(questions, (PEOPLE, ["no"] * 10), strict=True))
    ]
    notes[1].update(changes)
    return {"questions": questions}, {"annotations": notes}


def write(folder: Path, **contents: Any) -> dict[str, str]:
    """Write ``<name>.json`` each; return name to path."""
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return {name: str(folder / f"{name}.json") for name in contents}


def write_images(folder: Path) -> str:
    """Draw the two images; return their template."""
    for number in (7, 8):
        cv2.imwrite(str(folder / f"COCO_val2014_{number:012d}.jpg"), np.full((16, 24, 3), 10 * number, np.uint8))
    return str(folder / "COCO_val2014_{image_id:012d}.jpg")
