from collections import Counter, defaultdict

import numpy as np
import pytest

from bus_toolkit.data.scenes.plan import scene_at
from bus_toolkit.data.scenes.questions import SceneQuestion, scene_questions
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import RELATIONS, SceneSettings
from bus_toolkit.data.scenes.streams import stream
from bus_toolkit.tokenizers.corpus import CorpusTokenizer

EASY = SceneSettings()
HARD = SceneSettings(
    num_objects=(3, 8),
    shapes=("circle", "square", "triangle", "star", "cross", "ring"),
    colours=("red", "green", "blue", "orange"),
)
KINDS = {"colour", "shape", "size", "count", "existence", "relation"}


def thing(x, y, shape="circle", colour="red", size="small"):
    return SceneObject(shape, colour, size, x, y, 6.0, 0.0)


def asked(settings, count):
    """Return the scenes of a split with their questions."""
    scenes = [scene_at(settings, "train", number) for number in range(count)]
    return [(s, q) for n, s in enumerate(scenes) for q in scene_questions(s, stream(settings, "train", n, "questions"))]


def fitting(scene, phrase):
    """Return the places of the objects with all of these words, plural or not."""
    singular = {f"{word}s": word for word in HARD.shapes} | {"crosses": "cross"}
    words = {singular.get(word, word) for word in phrase if word not in ("object", "objects")}
    return tuple(place for place, item in enumerate(scene.objects) if words <= set(item.words))


def answers(scene, text):
    """Return all that a reader might answer, by looking at the words alone."""
    words = text.split()
    if text.startswith("what is the number of"):
        return {str(len(fitting(scene, words[5:])))}
    if words[0] == "what":
        attribute = {"color": "colour"}.get(words[1], words[1])
        return {getattr(scene.objects[place], attribute) for place in fitting(scene, words[4:])}
    if text.startswith("is there"):
        return {"yes" if fitting(scene, words[3:]) else "no"}
    middle = next(place for place, word in enumerate(words) if word in RELATIONS)
    firsts, seconds = fitting(scene, words[2:middle]), fitting(scene, words[middle + 2 :])
    possible = set()
    for a in (scene.objects[place] for place in firsts):
        for b in (scene.objects[place] for place in seconds):
            true = {"left-of": a.x < b.x, "right-of": a.x > b.x, "above": a.y < b.y, "below": a.y > b.y}
            possible.add("yes" if true[words[middle]] else "no")
    return possible


@pytest.mark.parametrize("settings", [EASY, HARD])
def test_the_answer_is_the_only_one_that_the_words_allow(settings):
    questions = asked(settings, 150)
    assert {question.kind for _, question in questions} == KINDS
    for scene, question in questions:
        assert answers(scene, question.text) == {question.answer}, (question, scene)


def test_a_relation_is_asked_only_where_it_is_clear():
    for scene, question in asked(EASY, 150):
        if question.kind == "relation":
            a, b = (scene.objects[place] for place in question.named)
            longer, shorter = sorted((abs(a.x - b.x), abs(a.y - b.y)), reverse=True)
            across = any(word in question.text for word in ("left-of", "right-of"))
            assert longer >= 1.5 * shorter and across == (abs(a.x - b.x) > abs(a.y - b.y))


def test_objects_that_a_question_names_are_those_of_its_description():
    for scene, question in asked(EASY, 100):
        words = question.text.split()
        if question.kind in ("colour", "shape", "size"):
            assert question.named == fitting(scene, words[4:]) and len(question.named) == 1
        elif question.kind in ("count", "existence"):
            assert question.named == fitting(scene, words[5 if question.kind == "count" else 3 :])


def test_a_no_is_a_near_miss():
    for scene, question in asked(HARD, 150):
        if question.kind == "existence" and question.answer == "no":
            there = {word for item in scene.objects for word in item.words}
            assert set(question.text.split()[3:]) - {"object"} <= there


def test_yes_and_no_are_equally_frequent_whatever_the_words():
    by_word = defaultdict(Counter)
    for _, question in asked(EASY, 1500):
        if question.kind in ("existence", "relation"):
            for word in {question.kind, *question.text.split()}:
                by_word[word][question.answer] += 1
    for word, counts in by_word.items():
        share, number = counts["yes"] / counts.total(), counts.total()
        # Three standard errors, and a little: scenes that are full favour small objects.
        assert abs(share - 0.5) < 1.5 / number**0.5 + 0.05, (word, counts)


def test_no_number_and_no_word_dominates():
    of_kind = defaultdict(Counter)
    for _, question in asked(EASY, 600):
        of_kind[question.kind][question.answer] += 1
    assert max(of_kind["count"].values()) < 0.35 * of_kind["count"].total() and set(of_kind["count"]) == set("01234")
    assert max(of_kind["colour"].values()) < 0.2 * of_kind["colour"].total()
    assert max(of_kind["shape"].values()) < 0.35 * of_kind["shape"].total()


def test_every_word_is_in_the_vocabulary_and_every_question_fits_the_small_models():
    tokenizer = CorpusTokenizer(max_length=16)
    texts = [text for _, q in asked(EASY, 300) + asked(HARD, 150) for text in (q.text, q.answer)]
    assert tokenizer.unk_token_id not in tokenizer(texts).input_ids
    assert tokenizer.num_truncated == 0


def test_a_scene_has_one_question_of_a_kind_and_no_more_than_are_wanted():
    scene = scene_at(HARD, "train", 3)
    questions = scene_questions(scene, np.random.default_rng(0))
    assert sorted(question.kind for question in questions) == sorted(KINDS)
    assert scene_questions(scene, np.random.default_rng(0), count=2) == questions[:2]
    assert scene_questions(scene, np.random.default_rng(0)) == questions


def test_where_nothing_can_be_described_only_the_number_is_asked():
    twins = Scene(64, (thing(10, 10), thing(50, 12)))
    for seed in range(20):
        (question,) = scene_questions(twins, np.random.default_rng(seed))
        assert question.kind == "count" and question.answer == "2" and question.named == (0, 1)


@pytest.mark.parametrize(("kind", "answer_type"), [("count", "number"), ("relation", "yes/no"), ("size", "other")])
def test_answer_types_are_those_of_vqa(kind, answer_type):
    assert SceneQuestion("", "", kind, ()).answer_type == answer_type


def test_articles_and_plurals():
    scene = Scene(64, (thing(10, 10, "cross", "orange"), thing(50, 50, "ring", "red", "large")))
    texts = {q.text for seed in range(200) for q in scene_questions(scene, np.random.default_rng(seed))}
    assert {"is there an orange cross", "is there a small ring", "what is the number of orange crosses"} <= texts
    assert not any("a orange" in text or "an large" in text for text in texts)
