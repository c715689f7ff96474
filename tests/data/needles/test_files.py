import json

import pytest

from bus_toolkit.data.needles.settings import ANSWERS, NeedleSettings
from bus_toolkit.data.scenes import cache

SETTINGS = NeedleSettings(num_objects=(5, 6), image_size=64, expressions_per_image=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return cache.prepare_scenes(tmp_path_factory.mktemp("needles"), "val", 6, SETTINGS, workers=1)


def read(folder, name):
    return json.loads((folder / f"{name}_val.json").read_text())


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_settings_give_the_same_bytes_whatever_the_number_of_processes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("bus_toolkit.data.scenes.chunks._CHUNK", 2)
    assert content(cache.prepare_scenes(tmp_path, "val", 6, SETTINGS, workers=2)) == content(folder)


def test_other_families_settings_and_seeds_are_other_scenes(folder, tmp_path):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["family"] == "needles" and manifest["settings"] == SETTINGS.to_dict()
    other = cache.prepare_scenes(tmp_path, "val", 6, NeedleSettings.parse({**SETTINGS.to_dict(), "seed": 1}), workers=1)
    images = [{path.read_bytes() for path in (where / "images").iterdir()} for where in (folder, other)]
    assert not images[0] & images[1]


def test_file_names_say_nothing_but_the_number(folder):
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == [f"{100_000_000_000 + number:012d}.png" for number in range(1, 7)]


def test_files_are_public_forms_and_agree(folder):
    instances = read(folder, "instances")
    boxes = {item["id"]: item for item in instances["annotations"]}
    names = {item["id"]: item["name"] for item in instances["categories"]}
    regions, answers = read(folder, "question_regions"), read(folder, "answers")["annotations"]
    questions = read(folder, "questions")["questions"]
    assert len(questions) == 6 * 8
    for question, note in zip(questions, answers, strict=True):
        named = [boxes[key] for key in regions.get(str(question["question_id"]), ())]
        assert len(named) == (note["question_type"] != "control")
        for item in named:
            assert item["image_id"] == question["image_id"]
            assert question["question"].endswith(f" the {names[item['category_id']]}")
        assert [entry["answer"] for entry in note["answers"]] == [note["multiple_choice_answer"]] * 4
        assert note["multiple_choice_answer"] in ANSWERS
    for reference in read(folder, "refs"):
        (sentence,) = reference["sentences"]
        assert sentence["sent"] == f"the {names[boxes[reference['ann_id']]['category_id']]}"
        assert boxes[reference["ann_id"]]["image_id"] == reference["image_id"]
    named_by = read(folder, "regions")
    captions = read(folder, "captions")["annotations"]
    assert len(captions) == len({caption["image_id"] for caption in captions}) == 6
    for caption in captions:
        for key in named_by[str(caption["id"])]:
            assert boxes[key]["image_id"] == caption["image_id"]
            assert f"a {names[boxes[key]['category_id']]} with a " in caption["caption"]
    assert (folder / "answers.txt").read_text().splitlines() == list(ANSWERS)
