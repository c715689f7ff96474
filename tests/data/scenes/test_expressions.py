import json
from itertools import chain

import numpy as np
import pytest

from bus_toolkit.data.scenes.coco_files import write_annotations
from bus_toolkit.data.scenes.expressions import (
    attribute_expressions,
    choose_expressions,
    expression_files,
    relational_expressions,
)
from bus_toolkit.data.scenes.plan import plan_scenes, scene_at
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import COLOURS, RELATIONS, SHAPES, SceneSettings
from bus_toolkit.tokenizers.corpus import CorpusTokenizer

SETTINGS = SceneSettings()
HARD = SceneSettings(num_objects=(4, 7), shapes=SHAPES, colours=tuple(COLOURS), image_size=128)


def thing(x, y, shape="circle", colour="red", size="small"):
    return SceneObject(shape, colour, size, x, y, 6.0, 0.0)


def fits(words, item):
    """Read a description slowly: each word must be one of the object's."""
    return all(word in (item.shape, item.colour, item.size) for word in words)


def readings(text, scene):
    """Return the objects that an expression can mean, read word by word; a reader grants diagonals for both axes."""
    words = text.split()
    relations = [word for word in words if word in RELATIONS]
    if not relations:
        assert words[0] == "the"
        return [item for item in scene.objects if fits(words[1:], item)]
    (relation,) = relations
    middle = words.index(relation)
    assert words[0] == words[middle + 1] == "the"
    (anchor,) = [item for item in scene.objects if fits(words[middle + 2 :], item)]
    holds = {
        "left-of": lambda item: item.x < anchor.x,
        "right-of": lambda item: item.x > anchor.x,
        "above": lambda item: item.y < anchor.y,
        "below": lambda item: item.y > anchor.y,
    }[relation]
    described = [item for item in scene.objects if fits(words[1:middle], item)]
    assert len(described) > 1, "without need of the relation it is another kind of expression"
    return [item for item in described if item is not anchor and holds(item)]


@pytest.mark.parametrize("settings", [SETTINGS, HARD], ids=["easy", "hard"])
def test_every_expression_can_mean_its_object_alone(settings):
    for number in range(40):
        scene = scene_at(settings, "train", number)
        for expression in chain(attribute_expressions(scene), relational_expressions(scene)):
            assert readings(expression.text, scene) == [scene.objects[expression.target]], expression


def test_attributes_alone_name_what_is_there_once():
    scene = Scene(64, (thing(10, 30), thing(50, 30, colour="blue"), thing(30, 50, "star", "blue", "large")))
    targets = {expression.text: expression.target for expression in attribute_expressions(scene)}
    assert targets == {
        "the red circle": 0,
        "the small red circle": 0,
        "the blue circle": 1,
        "the small blue circle": 1,
        "the star": 2,
        "the large star": 2,
        "the blue star": 2,
        "the large blue star": 2,
    }


def test_a_relation_distinguishes_equal_objects():
    """Both circles are small and red; the star is between them, a little lower."""
    scene = Scene(64, (thing(10, 30), thing(50, 30), thing(30, 32, "star", "blue")))
    targets = {expression.text: expression.target for expression in relational_expressions(scene)}
    assert targets["the circle left-of the star"] == 0 and targets["the small red circle right-of the blue star"] == 1
    assert not any("above" in text or "below" in text for text in targets)


def test_a_relation_that_a_reader_might_grant_to_another_object_is_not_used():
    """The second circle is to the left as well, on a diagonal; the third clearly so."""
    star = thing(40, 30, "star", "blue")
    scene = Scene(64, (thing(10, 30), thing(20, 10), star))
    assert relational_expressions(scene) == []
    apart = Scene(64, (thing(10, 30), thing(60, 10), star))
    assert {e.target for e in relational_expressions(apart)} == {0}, "the second one is on a diagonal itself"


def test_chosen_expressions_are_of_both_kinds_and_of_different_objects():
    for number in range(40):
        scene = scene_at(SETTINGS, "train", number)
        chosen = choose_expressions(scene, 3, np.random.default_rng(0))
        relational = [e for e in chosen if set(RELATIONS) & set(e.text.split())]
        plain = [e for e in chosen if e not in relational]
        assert len(relational) == min(3, len({e.target for e in relational_expressions(scene)}))
        assert 1 <= len(plain) <= max(1, len(relational))
        for kind in (relational, plain):
            assert len({e.target for e in kind}) == len(kind)


def test_references_point_to_the_instances_that_they_mean(tmp_path):
    planned = plan_scenes(SETTINGS, "val", 20)
    write_annotations(tmp_path, "val", planned, SETTINGS)
    by_id = {item["id"]: item for item in json.loads((tmp_path / "instances_val.json").read_text())["annotations"]}
    refs = expression_files("val", planned, SETTINGS)["refs_val.json"]
    assert len({ref["image_id"] for ref in refs}) == 20
    for ref in refs:
        instance = by_id[ref["ann_id"]]
        assert ref["split"] == "val" and instance["image_id"] == ref["image_id"]
        for sentence in ref["sentences"]:
            head = sentence["sent"].split(" the ")[0].split()[1:]
            assert set(head) - set(RELATIONS) <= set(instance["attributes"].values())
    sentences = [sentence for ref in refs for sentence in ref["sentences"]]
    assert [sentence["sent_id"] for sentence in sentences] == list(range(1, len(sentences) + 1))
    assert len({ref["ann_id"] for ref in refs}) == len(refs)


def test_a_scene_has_the_same_expressions_whatever_else_is_planned():
    few, many = (expression_files("train", plan_scenes(SETTINGS, "train", n), SETTINGS) for n in (5, 9))
    texts = [[(r["image_id"], r["sentences"]) for r in f["refs_train.json"]] for f in (few, many)]
    assert texts[1][: len(texts[0])] == texts[0]


def test_every_word_is_in_the_vocabulary_and_fits_the_recipe():
    tokenizer = CorpusTokenizer(max_length=16)
    refs = expression_files("train", plan_scenes(HARD, "train", 60), HARD)["refs_train.json"]
    texts = [sentence["sent"] for ref in refs for sentence in ref["sentences"]]
    ids = tokenizer(texts).input_ids
    (unknown,) = tokenizer(["zebra"]).input_ids[0, 1:2].tolist()
    assert not (ids == unknown).any()
    assert [tokenizer.decode(row.tolist()) for row in ids] == texts
