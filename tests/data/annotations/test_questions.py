"""Files of questions are distinguished by their form; what does not belong together is refused."""

import pytest

from bus_toolkit.data.annotations.questions import read_questions
from bus_toolkit.errors import DataError
from tests.data.questions_files import PEOPLE, vqa, write

VISUAL_GENOME = [
    {"id": 3, "qas": [{"qa_id": 11, "image_id": 3, "question": "What is on the table?", "answer": "A red cup."}]},
    {"id": 4, "qas": []},
    {"id": 5, "qas": [{"qa_id": 12, "image_id": 5, "question": "How many dogs?", "answer": "2."}]},
]
GQA = {
    "201": {"imageId": "n5", "question": "Is it dark?", "answer": "yes", "types": {"structural": "verify"}},
    "202": {"imageId": "2375", "question": "Which side is it on?", "answer": "left"},
}


def read(folder, questions, annotations=None):
    files = write(folder, questions=questions, **({} if annotations is None else {"annotations": annotations}))
    return read_questions(files["questions"], files.get("annotations"), "Reader")


def test_vqa_gives_all_answers_and_the_types_of_its_annotations(tmp_path):
    first, second = read(tmp_path, *vqa())
    assert (first.question_id, first.image_id, first.text) == (7000, 7, "What color is the car on the left?")
    assert first.answers == tuple(PEOPLE)
    assert (first.question_type, first.answer_type) == ("what color is the", "other")
    assert (second.answers, second.answer_type, second.problem) == (("no",) * 10, "yes/no", "")


def test_annotations_may_be_in_another_order_and_of_more_questions(tmp_path):
    questions, notes = vqa()
    notes["annotations"] = [*notes["annotations"][::-1], {"question_id": 99, "answers": []}]
    assert read(tmp_path, questions, notes) == read(tmp_path, *vqa())


def test_questions_of_vqa_alone_have_no_answers(tmp_path):
    questions = read(tmp_path, vqa()[0])
    assert [(q.answers, q.answer_type, q.problem) for q in questions] == [((), "", "")] * 2


def test_visual_genome_gives_one_answer_without_its_full_stop(tmp_path):
    first, second = read(tmp_path, VISUAL_GENOME)
    assert (first.question_id, first.image_id, first.answers) == (11, 3, ("A red cup",))
    assert (first.question_type, first.answer_type) == ("what is", "other")
    assert (second.answers, second.answer_type) == (("2",), "number")


def test_gqa_gives_one_answer_and_its_structural_type(tmp_path):
    first, second = read(tmp_path, GQA)
    assert (first.question_id, first.image_id, first.answers) == ("201", "n5", ("yes",))
    assert (first.question_type, first.answer_type) == ("verify", "yes/no")
    assert (second.question_type, second.answers) == ("which side", ("left",))


def test_questions_of_gqa_may_have_no_answers(tmp_path):
    (question,) = read(tmp_path, {"1": {"imageId": "a", "question": "Is it?"}})
    assert question.answers == () and question.problem == ""


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([], "question 7001 has no answers"),
        (None, "question 7001 has no answers"),
        ([{"answer": "no"}, {"answer": " "}], "question 7001 has no answer 2 of 2: it is empty"),
        ([{"answer_id": 1}], "question 7001 has no answer 1 of 1: it is empty"),
        ([{"answer": 2}], "question 7001 has an answer 1 of 1 that is not text, got 2"),
    ],
)
def test_an_answer_that_cannot_be_used_is_noted(tmp_path, answers, problem):
    questions = read(tmp_path, *vqa(answers=answers))
    assert questions[0].problem == "" and questions[1].answers == ()
    assert questions[1].problem.startswith(problem) and "annotations.json" in questions[1].problem


@pytest.mark.parametrize("content", [{"1": {**GQA["201"], "answer": ""}}, [{"id": 1, "qas": [
    {"qa_id": 1, "image_id": 1, "question": "What?", "answer": None}]}]])  # fmt: skip
def test_an_only_answer_that_is_empty_is_noted(tmp_path, content):
    (question,) = read(tmp_path, content)
    assert question.problem == "question 1 has no answer 1 of 1: it is empty" and question.answers == ()


@pytest.mark.parametrize(
    ("questions", "annotations", "message"),
    [
        ({"questions": vqa()[0]["questions"] * 2}, None, "question id 7000 occurs twice"),
        (vqa()[0], {"annotations": vqa()[1]["annotations"][:1]}, r"question 7001 has no annotation in .*annotations"),
        (vqa()[0], vqa(image_id=9)[1], "question 7001 is about image 8, its annotation in .* about image 9"),
        (vqa()[0], {"annotations": vqa()[1]["annotations"] * 2}, "question 7000 has two annotations"),
        (vqa()[0], {"annotations": [{"answers": []}]}, r"annotations\[0\] has no question_id"),
        (vqa()[0], vqa()[0], "does not hold VQA v2's annotations"),
        (GQA, vqa()[1], "annotation_file: belongs to VQA v2's questions"),
        ({"questions": [{"image_id": 1, "question": "a"}]}, None, r"questions\[0\] has no question_id"),
        ({"questions": [{"image_id": 1, "question_id": 1}]}, None, r"questions\[0\] has no question, got"),
        ({"questions": []}, None, "holds no question. It needs one of: VQA v2"),
        ([{"id": 1}], None, r"\[0\] has no qas"),
        ([{"id": 1, "qas": {"a": 1}}], None, r"\[0\].qas must be a list"),
        ([{"id": 1, "qas": [{"qa_id": 1, "image_id": 1}]}], None, r"\[0\].qas\[0\] has no question"),
        ({"1": {"question": "a"}}, None, "question 1 has no imageId"),
        ({"1": "a"}, None, "question 1 has no imageId, got a"),
        ("3", None, "the file holds a int"),
        ("{", None, "questions.json is not JSON"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path, questions, annotations, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, questions, annotations)
    assert str(caught.value).startswith("Reader.") and ".json" in str(caught.value)


def test_says_when_a_file_is_missing(tmp_path):
    files = write(tmp_path, questions=vqa()[0])
    with pytest.raises(DataError, match="Reader.question_file: none.json cannot be read: No such file"):
        read_questions("none.json", None, "Reader")
    with pytest.raises(DataError, match="Reader.annotation_file: none.json cannot be read: No such file"):
        read_questions(files["questions"], "none.json", "Reader")


def test_questions_and_annotations_are_joined_by_ids_in_one_form(tmp_path):
    questions, notes = vqa()
    for note in notes["annotations"]:
        note.update(question_id=str(note["question_id"]), image_id=float(note["image_id"]))
    assert [question.answers for question in read(tmp_path, questions, notes)] == [tuple(PEOPLE), ("no",) * 10]
