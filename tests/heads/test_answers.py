"""Answers of a batch in one row after another, and lists of answers from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.heads.answers import flatten_answers, read_answers


def test_answers_come_one_after_another_with_their_question_and_share() -> None:
    batch = flatten_answers([["red", "blue"], None, "no", []], [[0.7, 0.3], None, None, []])
    assert batch == ([0, 0, 2], ["red", "blue", "no"], [0.7, 0.3, 1.0])


def test_answers_without_shares_have_the_same() -> None:
    assert flatten_answers([["a", "b", "c", "d"]], [None]).shares == [0.25] * 4


def test_shares_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="gt_answer_weight: row 1 of the batch has 1 weights for 2 answers"):
        flatten_answers(["a", ["b", "c"]], [[1.0], [1.0]])


@pytest.mark.parametrize("name", ["list.txt", "list.json"])
def test_a_list_may_be_a_file(name: str, tmp_path: Path) -> None:
    text = json.dumps(["yes", "hot dog"]) if name.endswith("json") else "yes\n\n hot dog \n"
    (tmp_path / name).write_text(text)
    assert read_answers(str(tmp_path / name)) == ["yes", "hot dog"] == read_answers(["yes", "hot dog"])


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], r"the list must hold a list of answers, got '\[\]'"),
        (["yes", ""], "the list: answer 2 must be words, got ''"),
        (["yes", False], "the list: answer 2 must be words, got False. Quote it"),
        (["a", "b", "a"], "the list has 'a' twice"),
        ("nowhere.txt", "nowhere.txt: cannot be read: No such file"),
    ],
)
def test_says_what_is_wrong_with_a_list(answers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_answers(answers)


@pytest.mark.parametrize(("text", "message"), [("{", "is no list of answers"), ('{"a": 1}', "must hold a list")])
def test_says_when_a_json_file_holds_no_list(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(text)
    with pytest.raises(ValueError, match=f"answers.json {message}"):
        read_answers(str(tmp_path / "answers.json"))
