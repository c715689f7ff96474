import json

from bus_toolkit.data.scenes.cache import prepare_scenes
from bus_toolkit.data.scenes.plan import plan_scenes
from bus_toolkit.data.scenes.question_files import question_files
from bus_toolkit.data.scenes.settings import SceneSettings


def test_files_have_the_form_of_vqa_v2_and_instances_are_those_that_questions_name(tmp_path):
    folder = prepare_scenes(tmp_path, "val", 6, SceneSettings(), workers=1)
    questions, answers, regions, instances = (
        json.loads((folder / f"{name}_val.json").read_text())
        for name in ("questions", "answers", "question_regions", "instances")
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"questions_val.json", "answers_val.json", "question_regions_val.json"} <= set(manifest["files"])
    objects = {item["id"]: item for item in instances["annotations"]}
    assert len(questions["questions"]) == len(answers["annotations"]) > 6
    for question, note in zip(questions["questions"], answers["annotations"], strict=True):
        assert set(question) == {"question_id", "image_id", "question"}
        assert (question["question_id"], question["image_id"]) == (note["question_id"], note["image_id"])
        assert question["question_id"] // 1000 == question["image_id"]
        assert [entry["answer"] for entry in note["answers"]] == [note["multiple_choice_answer"]] * 10
        named = [objects[key] for key in regions.get(str(question["question_id"]), [])]
        assert all(item["image_id"] == question["image_id"] for item in named)
        if note["answer_type"] == "number":
            assert len(named) == int(note["multiple_choice_answer"])
        if note["question_type"] in ("colour", "shape", "size"):
            assert [item["attributes"][note["question_type"]] for item in named] == [note["multiple_choice_answer"]]
    assert len({question["question_id"] for question in questions["questions"]}) == len(questions["questions"])


def test_a_scene_has_the_same_questions_whatever_else_is_drawn():
    settings = SceneSettings()
    few, more = (question_files("train", plan_scenes(settings, "train", n), settings) for n in (3, 5))
    texts = few["questions_train.json"]["questions"]
    assert texts == more["questions_train.json"]["questions"][: len(texts)]


def test_test_scenes_have_as_many_questions_as_training_scenes():
    settings = SceneSettings()
    counts = [
        len(question_files(split, plan_scenes(settings, split, 40), settings)[f"questions_{split}.json"]["questions"])
        for split in ("train", "test")
    ]
    assert min(counts) > 5.5 * 40
