import json

import pytest

from bus_toolkit.data import SceneDataset, SceneTask
from bus_toolkit.data.needles.settings import ANSWERS
from bus_toolkit.errors import ConfigError, DataError

READER = {
    "type": "bus_toolkit.QuestionAnswers",
    "question_file": "{folder}/questions_{split}.json",
    "annotation_file": "{folder}/answers_{split}.json",
    "image_template": "{folder}/images/{image_id:012d}.png",
    "instances_file": "{folder}/instances_{split}.json",
    "regions_file": "{folder}/question_regions_{split}.json",
    "pipeline": [
        {"type": "bus_toolkit.LoadImage"},
        {"type": "bus_toolkit.AnswerLabel", "answers_file": "{folder}/answers.txt"},
        {"type": "bus_toolkit.PackRegions"},
    ],
}


def test_questions_come_with_label_boxes_and_kind(tmp_path):
    data = SceneTask(str(tmp_path), "val", 4, READER, family="needles", scenes={"num_objects": [10, 14]})
    assert len(data) == 4 * 8
    names = json.loads((tmp_path / "val_4" / "instances_val.json").read_text())["categories"]
    for row in range(8):
        sample = data[row]["data_samples"]
        assert data[row]["inputs"].shape == (3, 112, 112)
        assert ANSWERS[int(sample.gt_label)] == sample.gt_answer[0]
        if sample.question_type != "control":
            assert int(sample.named.sum()) == 1 and any(sample.text.endswith(name["name"]) for name in names)
    assert sample.question_type == "control" and "gt_boxes" not in sample


def test_refuses_an_unknown_family(tmp_path):
    with pytest.raises(ConfigError, match="family: must be one of scenes, needles, got 'needle'"):
        SceneTask(str(tmp_path), "val", 4, READER, family="needle")


@pytest.mark.parametrize("kind", ["RandomFlipWithText", "RandomFlip"])
def test_refuses_mirrored_needles(tmp_path, kind):
    pipeline = [READER["pipeline"][0], {"type": kind, "prob": 0.5}, *READER["pipeline"][1:]]
    with pytest.raises(
        DataError, match=rf"SceneTask.reader.pipeline.1: {kind} mirrors images.* a slash is a backslash"
    ):
        SceneTask(str(tmp_path), "val", 4, {**READER, "pipeline": pipeline}, family="needles")
    with pytest.raises(DataError, match=rf"SceneDataset.pipeline.1: {kind} mirrors images"):
        SceneDataset(str(tmp_path), "val", 4, pipeline=pipeline, family="needles")


def test_captions_come_with_the_boxes_of_the_objects_that_they_name(tmp_path):
    pipeline = [READER["pipeline"][0], READER["pipeline"][2]]
    data = SceneDataset(str(tmp_path), "train", 2, family="needles", pipeline=pipeline)
    assert len(data) == 8 and data.boxed_indices == list(range(8))
    sample = data[0]["data_samples"]
    assert int(sample.named.sum()) == 2 and sample.text.count(" with a ") == 2
