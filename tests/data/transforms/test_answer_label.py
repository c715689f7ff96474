import pytest

from bus_toolkit.data import AnswerLabel
from bus_toolkit.data.datasets.bad_samples import LoadingError
from bus_toolkit.errors import DataError


@pytest.fixture
def answers_file(tmp_path):
    (tmp_path / "answers.txt").write_text("red\ndark blue\nbar\n")
    return str(tmp_path / "answers.txt")


def label(answers_file, *answers, **more):
    return AnswerLabel(answers_file).transform({"text_id": 7, "gt_answer": list(answers), **more})["gt_label"]


def test_the_class_is_the_line_of_the_answer(answers_file):
    assert [label(answers_file, word) for word in ("red", "dark blue", "bar")] == [0, 1, 2]


def test_answers_are_compared_as_vqa_does(answers_file):
    assert label(answers_file, "Dark blue.") == 1


def test_of_several_answers_the_one_of_most_people_counts(answers_file):
    assert label(answers_file, "bar", "red", gt_answer_weight=[0.3, 0.7]) == 0
    assert label(answers_file, "bar", "red", gt_answer_weight=[0.5, 0.5]) == 2
    assert label(answers_file, "bar", "red") == 2


def test_one_answer_may_come_as_a_string(answers_file):
    answer = AnswerLabel(answers_file)
    assert answer.transform({"gt_answer": "dark blue"})["gt_label"] == 1


def test_byte_order_mark_line_ends_and_spaces_are_no_part_of_an_answer(tmp_path):
    (tmp_path / "answers.txt").write_bytes(b"\xef\xbb\xbfred \r\ndark blue\t\r\nbar\r\n")
    assert [label(str(tmp_path / "answers.txt"), word) for word in ("red", "dark blue", "bar")] == [0, 1, 2]


def test_an_answer_that_is_not_in_the_file_is_an_error(answers_file):
    with pytest.raises(LoadingError, match="answers.txt does not have the answer 'pink' of question 7. Add it as"):
        label(answers_file, "pink")


def test_a_sample_without_answers_is_an_error(answers_file):
    with pytest.raises(LoadingError, match=r"AnswerLabel: question 7 has no answer \(gt_answer\). Use a data set with"):
        label(answers_file)


def test_a_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"AnswerLabel.answers_file: .*nowhere.txt"):
        AnswerLabel(str(tmp_path / "nowhere.txt"))
