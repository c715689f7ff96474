"""What is asked about a sample, and what written words mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.models import make_samples
from bus_toolkit.models.causal.dialogs import Turn
from bus_toolkit.models.causal.tasks import AnswerTask, CaptionTask, ChatTask, GroundTask
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer

SIZE = (32, 64)


def sample(**fields: Any) -> Any:
    return make_samples(["a red square"], **{name: [value] for name, value in fields.items()})[0]


def test_the_answer_of_most_people_is_learned() -> None:
    asked = sample(gt_answer=["blue", "red", "green"], gt_answer_weight=[0.2, 0.4, 0.4])
    assert AnswerTask(prompt="q {text}").dialog(asked, SIZE) == [Turn("q a red square", "red")]
    assert AnswerTask().dialog(sample(gt_answer="two"), SIZE) == [Turn("a red square", "two")]
    assert AnswerTask().dialog(sample(), SIZE) == [Turn("a red square", None)]


def test_a_written_answer_has_the_label_of_its_place_in_the_list() -> None:
    task = AnswerTask(answer_list=["Red", "two squares"])
    task.prepare(CorpusTokenizer(), "model.tasks.answer")
    assert task.fields("two squares", SIZE) == {"pred_answer": "two squares", "pred_label": 1}
    assert task.fields("red", SIZE)["pred_label"] == 0
    assert task.fields("blue", SIZE)["pred_label"] == -1
    assert AnswerTask().predicts == ("pred_answer",)
    assert AnswerTask().fields("red", SIZE) == {"pred_answer": "red"}


def test_a_caption_answers_one_prompt() -> None:
    task = CaptionTask(prompt="describe")
    assert task.dialog(sample(), SIZE) == [Turn("describe", "a red square")]
    assert task.fields("a square", SIZE) == {"pred_caption": "a square"}
    assert not task.names_objects
    with pytest.raises(ValueError, match="prompt: the text of a sample is the answer here"):
        CaptionTask(prompt="say {text}")


def test_a_box_is_four_numbers_in_shares_of_the_sides() -> None:
    task = GroundTask(num_bins=101)
    boxes, named = torch.tensor([[0.0, 0, 9, 9], [16, 8, 48, 32]]), torch.tensor([False, True])
    # 16 of 64, 8 of 32, 48 of 64 and 32 of 32 pixels: 25, 25, 75 and 100 of 100 steps.
    asked = sample(gt_boxes=boxes, named=named)
    assert task.dialog(asked, SIZE) == [Turn("a red square", "25 25 75 100")]
    assert task.fields("25 25 75 100", SIZE)["pred_box"].tolist() == [16, 8, 48, 32]
    assert task.fields("25 25", SIZE)["pred_box"].tolist() == [0, 0, 0, 0]
    assert task.dialog(sample(gt_boxes=boxes, named=~named | True), SIZE)[0].answer is None


def test_numbers_of_boxes_must_be_in_the_vocabulary() -> None:
    task = GroundTask()
    task.prepare(WordPieceTokenizer(), "model.tasks.box")
    with pytest.raises(ConfigError, match="model.tasks.box: a box is written as numbers from 0 to 99.*has no '"):
        task.prepare(CorpusTokenizer(), "model.tasks.box")


def test_a_dialog_is_asked_turn_by_turn() -> None:
    asked = sample(conversation=[("what", "a square"), ("which color", "red")])
    assert ChatTask(prompt="{text} ?").dialog(asked, SIZE) == [Turn("what ?", "a square"), Turn("which color ?", "red")]
    with pytest.raises(DataError, match="kind chat reads the conversation of a sample, got one without"):
        ChatTask().dialog(sample(), SIZE)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="weight: must be 0 or more, got -1"):
        AnswerTask(weight=-1)
    with pytest.raises(ValueError, match="num_bins: must be at least 2, got 1"):
        GroundTask(num_bins=1)
    with pytest.raises(ValueError, match="twice"):
        AnswerTask(answer_list=["red", "red"])
