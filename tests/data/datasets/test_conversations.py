"""Dialogs in the form of LLaVA's data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bus_toolkit.data import Conversations
from bus_toolkit.data.datasets.bad_samples import BadSample, TooManyBadSamples
from bus_toolkit.errors import DataError

# Named with their scope: what other tests have built may have left another one.
PIPELINE = [{"type": "bus_toolkit.LoadImage"}, {"type": "bus_toolkit.PackRegions"}]


def entry(*values: Any, image: Any = "0.png", **more: Any) -> dict[str, Any]:
    """Return an entry whose messages are from human and gpt in turn."""
    messages = [{"from": ("human", "gpt")[place % 2], "value": value} for place, value in enumerate(values)]
    return {"id": "a", "image": image, "conversations": messages, **more}


def written(folder: Path, content: Any, **settings: Any) -> Conversations:
    (folder / "photos").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "photos" / "0.png"), np.full((16, 16, 3), 100, np.uint8))
    (folder / "chat.json").write_text(json.dumps(content))
    return Conversations(str(folder / "chat.json"), str(folder / "photos"), pipeline=PIPELINE, **settings)


def test_a_dialog_is_a_sample_with_all_of_its_turns(tmp_path: Path) -> None:
    data = written(tmp_path, [entry("<image>\nWhat is it?", " A square. ", "Which color?", "Red.")])
    packed = data[0]
    sample = packed["data_samples"]
    assert packed["inputs"].shape == (3, 16, 16)
    assert sample.conversation == [("<image>\nWhat is it?", "A square."), ("Which color?", "Red.")]
    assert (sample.text, sample.gt_answer, sample.image_id, sample.text_id) == ("What is it?", ["Red."], "0.png", "a")


def test_a_last_question_may_wait_for_its_answer(tmp_path: Path) -> None:
    info = written(tmp_path, [entry("What?", "A square.", "Which color?")]).get_data_info(0)
    assert info["conversation"] == [("What?", "A square."), ("Which color?", None)] and "gt_answer" not in info


def test_a_list_of_one_image_is_that_image(tmp_path: Path) -> None:
    # LLaVA-NeXT's data has lists (hiyouga/LlamaFactory, issue 5883, met both forms).
    info = written(tmp_path, [entry("<image>\nWhat?", "A square.", image=["0.png"])]).get_data_info(0)
    assert info["image_id"] == "0.png" and info["img_path"].endswith("photos/0.png")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (entry("What?", "A square.", image=None), "it has no image"),
        (entry("What?", "A square.", image=["0.png", "1.png"]), "it has 2 images; a dialog has one"),
        (entry("What?", "A square.", image=7), "the image must be a path, got 7"),
        ({"id": 1, "image": "0.png", "conversations": []}, "its conversations are no list of messages"),
        (
            {"image": "0.png", "conversations": [{"from": "gpt", "value": "A square."}] * 2},
            "message 1 must be from human, got 'gpt'",
        ),
        (entry("What?", ""), "message 2 must have text as its value, got ''"),
        (entry("What?", 7), "message 2 must have text as its value, got 7"),
        (entry("<image>", "A square."), "message 1 must have text as its value, got '<image>'"),
        (entry("<image>\nWhat?"), "it has one message; a dialog needs an answer"),
        (
            {"image": "0.png", "conversations": [{"role": "user", "content": "What?"}, {"role": "assistant"}]},
            "message 1 must be from human, got one with role, content in place of from and value",
        ),
        ({"image": "0.png", "conversations": ["What?", "A square."]}, "message 1 must be from human, got 'What.'"),
        (entry("<image> or <image>?", "No."), "message 1 has 2 times <image>"),
        (entry("What?", "A square.", "And <image>?", "No."), "message 3 has 1 times <image>"),
    ],
)
def test_entries_that_cannot_be_used_are_bad_samples(tmp_path: Path, bad: Any, problem: str) -> None:
    data = written(tmp_path, [bad, entry("What?", "A square.")])
    with pytest.raises(BadSample, match=f"chat.json, entry 1 .*: {problem}"):
        data.get_data_info(0)
    assert data[0]["data_samples"].text == "What?"  # the other one takes its place
    with pytest.raises(TooManyBadSamples, match=problem):
        _ = written(tmp_path, [bad], max_bad_samples=0)[0]


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Conversations.ann_file: .*holds no list of conversations. It needs LLaVA's"):
        written(tmp_path, {"questions": []})
    with pytest.raises(DataError, match="no entry has conversations, got image, caption"):
        written(tmp_path, [{"image": "0.png", "caption": "a square"}])
    with pytest.raises(DataError, match=r"Conversations.ann_file: .*gone.json cannot be read"):
        Conversations(str(tmp_path / "gone.json"))
    with pytest.raises(DataError, match=r"Conversations.img_dir: there is no folder"):
        Conversations(str(tmp_path / "chat.json"), str(tmp_path / "gone"))
