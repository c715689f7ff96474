"""Questions become samples with their answers, boxes and images; bad rows are counted, never guessed."""

import json
import logging

import numpy as np
import pytest

from bus_toolkit.data import QuestionAnswers, SceneTask
from bus_toolkit.data.datasets.bad_samples import BadSample, TooManyBadSamples
from bus_toolkit.errors import DataError
from tests.data.questions_files import PEOPLE, vqa, write, write_images

PIPELINE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]
FLIPPED = [PIPELINE[0], {"type": "bus_toolkit.RandomFlipWithText", "prob": 1.0}, PIPELINE[1]]
INSTANCES = {
    "annotations": [
        {"id": 1, "image_id": 7, "bbox": [2, 2, 4, 6]},
        {"id": 2, "image_id": 7, "bbox": [10, 2, 4, 6]},
    ]
}


@pytest.fixture
def files(tmp_path):
    questions, annotations = vqa()
    return {
        "image_template": write_images(tmp_path),
        "question_file": write(tmp_path, questions=questions)["questions"],
        "annotation_file": write(tmp_path, annotations=annotations)["annotations"],
    }


@pytest.fixture
def boxed(tmp_path, files):
    paths = write(tmp_path, instances=INSTANCES, regions={"7000": [2], "7001": []})
    return {**files, "instances_file": paths["instances"], "regions_file": paths["regions"]}


def test_gives_the_different_answers_and_their_shares(files):
    data = QuestionAnswers(**files, pipeline=PIPELINE)
    sample = data[0]["data_samples"]
    assert len(data) == 2 and data.boxed_indices == [] and data[0]["inputs"].shape == (3, 16, 24)
    assert (sample.text, sample.image_id, sample.text_id) == ("What color is the car on the left?", 7, 7000)
    assert sample.gt_answer == ["red", "dark red", "left"] and sample.gt_answer_weight == [0.6, 0.3, 0.1]
    assert sample.answers == PEOPLE
    assert (sample.question_type, sample.answer_type) == ("what color is the", "other")
    assert sample.img_path.endswith("COCO_val2014_000000000007.jpg")


def test_a_flip_mirrors_the_answers_with_the_question(files):
    sample = QuestionAnswers(**files, pipeline=FLIPPED)[0]["data_samples"]
    assert sample.text == "What color is the car on the right?"
    assert sample.gt_answer == ["red", "dark red", "right"] and sample.gt_answer_weight == [0.6, 0.3, 0.1]
    assert sample.answers == [*PEOPLE[:9], "right"]


def test_a_flip_leaves_the_data_set_as_it_was(files):
    data = QuestionAnswers(**files, pipeline=FLIPPED)
    assert data[0]["data_samples"].answers == data[0]["data_samples"].answers


def test_questions_without_answers_are_said_to_be_no_use_for_training(files, caplog):
    del files["annotation_file"]
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        data = QuestionAnswers(**files, pipeline=PIPELINE)
    assert "has no answers: a model can answer its questions, but not be trained or scored on them" in caplog.text
    sample = data[1]["data_samples"]
    assert sample.text == "Is it raining?" and "gt_answer" not in sample and "answers" not in sample


def test_boxes_of_the_objects_that_a_question_speaks_of(boxed):
    data = QuestionAnswers(**boxed, pipeline=PIPELINE)
    sample = data[0]["data_samples"]
    assert data.boxed_indices == [0]
    assert sample.gt_boxes.tolist() == [[2, 2, 6, 8], [10, 2, 14, 8]] and sample.named.tolist() == [False, True]
    assert "gt_boxes" not in data[1]["data_samples"]


def test_boxes_are_mirrored_too(boxed):
    sample = QuestionAnswers(**boxed, pipeline=FLIPPED)[0]["data_samples"]
    assert sample.gt_boxes.tolist() == [[18, 2, 22, 8], [10, 2, 14, 8]]


def test_a_bad_row_is_skipped_and_counted(tmp_path, files):
    files["annotation_file"] = write(tmp_path, annotations=vqa(answers=[{"answer": ""}])[1])["annotations"]
    data = QuestionAnswers(**files, pipeline=PIPELINE)
    assert data[1]["data_samples"].text_id == 7000 and data.bad.count == 1
    strict = QuestionAnswers(**files, pipeline=PIPELINE, max_bad_samples=0)
    with pytest.raises(TooManyBadSamples, match="question 7001 has no answer 1 of 1: it is empty .*annotations.json"):
        strict[1]


def test_an_empty_question_is_a_bad_row(tmp_path, files):
    questions, _ = vqa()
    questions["questions"][1]["question"] = " "
    files["question_file"] = write(tmp_path, questions=questions)["questions"]
    with pytest.raises(TooManyBadSamples, match="the caption is empty"):
        QuestionAnswers(**files, pipeline=PIPELINE, max_bad_samples=0)[1]


@pytest.mark.parametrize("name", ["answers.txt", "answers.json"])
def test_only_listed_answers_are_trained_on(tmp_path, files, name):
    listed = ["red", "left", "blue"]
    (tmp_path / name).write_text(json.dumps(listed) if name.endswith("json") else "\n".join(listed) + "\n")
    data = QuestionAnswers(**files, answers_file=str(tmp_path / name), pipeline=PIPELINE)
    sample = data[0]["data_samples"]
    assert len(data) == 1 and sample.gt_answer == ["red", "left"] and sample.gt_answer_weight == [0.6, 0.1]
    assert sample.answers == PEOPLE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_template": "{image_id:q}.jpg"}, r"image_template: must be a path with \{image_id\}"),
        ({"image_template": "{id}.jpg"}, r"image_template: must be a path with \{image_id\}"),
        ({"image_template": "a.jpg"}, r"image_template: needs \{image_id\} where the id goes"),
        ({"instances_file": "a"}, "instances_file and regions_file belong together"),
        ({"answers_file": "no.txt"}, "QuestionAnswers.answers_file: no.txt: cannot be read"),
    ],
)
def test_says_what_is_wrong_with_a_setting(files, changes, message):
    with pytest.raises(DataError, match=message):
        QuestionAnswers(**{**files, **changes})


def test_answers_are_compared_with_the_list_as_the_evaluation_compares_them(tmp_path, files, caplog):
    qas = [("Yes.", "yes"), ("On the table.", "on table"), ("Two dogs.", "2 dogs"), ("A hat!", None), ("red", "red")]
    entries = [
        {"qa_id": n, "image_id": 7, "question": "what?", "answer": said} for n, (said, _) in enumerate(qas, start=1)
    ]
    files["question_file"] = write(tmp_path, genome=[{"id": 7, "qas": entries}])["genome"]
    (tmp_path / "answers.txt").write_text("yes\non table\n2 dogs\nthe red\nred\n")
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        data = QuestionAnswers(**{**files, "annotation_file": None}, answers_file=str(tmp_path / "answers.txt"))
    assert [data.get_data_info(row)["gt_answer"] for row in range(len(data))] == [[form] for _, form in qas if form]
    assert "20.0 % of the 5 answers of" in caplog.text and "such as 'A hat!'" in caplog.text
    assert "1 of 5 questions (20.0 %) keep none and are left out" in caplog.text
    assert caplog.records[-1].levelno == logging.INFO


def test_a_list_that_leaves_few_questions_is_a_warning(tmp_path, files, caplog):
    entries = [{"qa_id": n, "image_id": 7, "question": "what?", "answer": f"answer {n}"} for n in range(3)]
    files["question_file"] = write(tmp_path, genome=[{"id": 7, "qas": entries}])["genome"]
    (tmp_path / "answers.txt").write_text("answer 1\n")
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        QuestionAnswers(**{**files, "annotation_file": None}, answers_file=str(tmp_path / "answers.txt"))
    assert "2 of 3 questions (66.7 %) keep none" in caplog.text


def test_a_list_that_no_question_has_an_answer_of_is_refused(tmp_path, files):
    (tmp_path / "answers.txt").write_text("green\n")
    with pytest.raises(
        DataError, match="none of the 2 questions of .* has one of the 1 answers of .*such as 'no', 'red'"
    ):
        QuestionAnswers(**files, answers_file=str(tmp_path / "answers.txt"))
    with pytest.raises(DataError, match="has no answers to choose from"):
        QuestionAnswers(**{**files, "annotation_file": None}, answers_file=str(tmp_path / "answers.txt"))


def test_a_question_must_not_speak_of_what_its_image_does_not_have(tmp_path, files):
    paths = write(tmp_path, instances=INSTANCES, regions={"7000": [2, 99]})
    boxed = {**files, "instances_file": paths["instances"], "regions_file": paths["regions"]}
    data = QuestionAnswers(**boxed, pipeline=PIPELINE)
    with pytest.raises(BadSample, match="names instance 99, which its image does not have"):
        data.get_data_info(0)


def test_transforms_that_do_not_move_the_boxes_are_refused(boxed):
    with pytest.raises(DataError, match="QuestionAnswers.pipeline.0: RandomFlip moves pixels but not both boxes"):
        QuestionAnswers(**boxed, pipeline=[{"type": "mmpretrain.RandomFlip"}])


def test_scenes_are_read_as_any_vqa_data(tmp_path):
    reader = {
        "type": "bus_toolkit.QuestionAnswers",
        "question_file": "{folder}/questions_{split}.json",
        "annotation_file": "{folder}/answers_{split}.json",
        "image_template": "{folder}/images/{image_id:012d}.jpg",
        "instances_file": "{folder}/instances_{split}.json",
        "regions_file": "{folder}/question_regions_{split}.json",
        "pipeline": PIPELINE,
    }
    data = SceneTask(str(tmp_path), "val", 4, reader)
    boxed = set(data.boxed_indices)
    for index in range(len(data)):
        sample = data[index]["data_samples"]
        assert len(sample.gt_answer) == 1 and sample.gt_answer_weight == [1.0] and len(sample.answers) == 10
        if index in boxed:
            assert sample.named.any() and len(sample.named) == len(sample.gt_boxes)
        else:
            assert sample.gt_answer in (["no"], ["0"])
        if sample.question_type == "count":
            assert int(sample.gt_answer[0]) == int(np.sum(np.asarray(sample.get("named", [])), dtype=int))


def test_boxes_of_another_split_are_refused(tmp_path, boxed):
    boxed["regions_file"] = write(tmp_path, regions={"1": [1]})["regions"]
    with pytest.raises(DataError, match=r"regions_file: .*none of its ids of texts \(1\) is one of the data \(2\)"):
        QuestionAnswers(**boxed, pipeline=PIPELINE)


def test_a_share_of_the_images_keeps_its_boxes(boxed):
    assert QuestionAnswers(**boxed, pipeline=PIPELINE).boxed_indices
    none = QuestionAnswers(**boxed, pipeline=PIPELINE, box_fraction=0.0)
    assert none.boxed_indices == [] and "gt_boxes" not in none[0]["data_samples"]
    with pytest.raises(DataError, match=r"QuestionAnswers\.box_fraction: must be in \[0, 1\], got 5"):
        QuestionAnswers(**boxed, pipeline=PIPELINE, box_fraction=5)
