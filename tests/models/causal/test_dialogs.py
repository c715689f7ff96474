"""Dialogs as ids."""

from __future__ import annotations

import pytest

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.models.causal.dialogs import DialogWriter, Template, Turn
from bus_toolkit.tokenizers import CorpusTokenizer

WORDS = CorpusTokenizer(max_length=16)
START, END = WORDS.cls_token_id, WORDS.sep_token_id


def ids(text: str) -> list[int]:
    return WORDS.ids_of_words(text.split())


def row(*turns: Turn, template: Template | None = None, longest: int | None = None):
    (only,) = DialogWriter(WORDS, template or Template(), longest).rows([turns])
    return only


def test_the_image_comes_before_the_first_question_and_answers_end_by_the_end_mark() -> None:
    only = row(Turn("what color", "red"), Turn("there are", "two squares"))
    parts = [[START], ids("what color"), ids("red"), [END], ids("there are"), ids("two squares"), [END]]
    assert only.ids == tuple(number for part in parts for number in part)
    assert only.image_at == 1
    assert only.is_answer == (False,) * 3 + (True,) * 2 + (False,) * 2 + (True,) * 3
    assert list(only.question) == [1, 2]


def test_a_template_surrounds_questions_and_a_question_may_place_its_image() -> None:
    template = Template(system="image and a number", turn="near {text} there")
    only = row(Turn("large\n<image> square"), template=template)
    before, after = "image and a number near large", "square there"
    assert only.ids == (START, *ids(before), *ids(after))
    assert only.image_at == 1 + len(ids(before))
    assert [only.ids[at] for at in only.question] == ids(after)


def test_where_nothing_follows_the_image_all_before_the_answer_may_be_read() -> None:
    only = row(Turn("what color <image>", "red"))
    assert only.image_at == 3 and [only.ids[at] for at in only.question] == [START, *ids("what color")]


def test_later_turns_that_do_not_fit_are_left_out_and_a_first_one_is_cut() -> None:
    turns = Turn("what color", "red"), Turn("there are", "two")
    assert row(*turns, longest=8).ids == row(turns[0]).ids
    assert row(*turns, longest=9).ids == row(*turns).ids
    cut = row(*turns, longest=3)
    assert cut.ids == (START, *ids("what color")) and not any(cut.is_answer)


def test_images_elsewhere_are_refused() -> None:
    with pytest.raises(DataError, match="one <image>, in its first question, got 2 in question 1"):
        row(Turn("<image> and <image>"))
    with pytest.raises(DataError, match="got 1 in question 2"):
        row(Turn("what color", "red"), Turn("<image> there are", "two"))


def test_templates_without_a_place_for_the_question_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.template.turn: must have \{text\} once, got 'USER:'"):
        Template(turn="USER:")
    with pytest.raises(ConfigError, match="model.template: the image has its place in a question"):
        Template(turn="<image> {text}")
