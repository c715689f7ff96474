from collections import Counter

import numpy as np
import pytest

from bus_toolkit.data.scenes.captions import relation, statements
from bus_toolkit.data.scenes.plan import plan_scenes, scene_at
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.statements import judgements, pair_statements, statement_files
from bus_toolkit.tokenizers.corpus import CorpusTokenizer

SETTINGS = SceneSettings(image_size=64, num_objects=[2, 4])


def scene(*objects):
    return Scene(64, tuple(SceneObject(s, c, "small", x, y, 6.0, 0.0) for c, s, x, y in objects))


def is_true(text, left, right):
    """A reader of the four kinds of sentences that looks at nothing but words and objects."""
    images = {"left": left, "right": right}
    words = text.split()
    has = lambda s, colour, shape: any(o.colour == colour and o.shape == shape for o in s.objects)  # noqa: E731
    if words[0] == "the":
        return has(images[words[1]], words[-2], words[-1])
    if words[0] == "each":
        name = "colour" if words[-1] == "object" else "shape"
        word = words[-2] if words[-1] == "object" else words[-1]
        return all(any(getattr(o, name) == word for o in s.objects) for s in images.values())
    if words[0] == "there":
        plural, first, second = words[3], words[6], words[11]
        count = lambda s: sum(plural in (f"{o.shape}s", f"{o.shape}es") for o in s.objects)  # noqa: E731
        return count(images[first]) > count(images[second])
    shown, (a, word, b) = images[words[2]], (words[5:7], words[8], words[10:12])
    pairs = [(p, q) for p in shown.objects for q in shown.objects if p is not q]
    named = [(p, q) for p, q in pairs if [p.colour, p.shape] == a and [q.colour, q.shape] == b]
    return any(relation(p, q) == word for p, q in named)


@pytest.fixture(scope="module")
def planned():
    return plan_scenes(SETTINGS, "train", 300)


def test_labels_are_true_of_the_two_images(planned):
    rng = np.random.default_rng(0)
    scenes = [s for _, s, _ in planned]
    kinds = Counter()
    for left, right in zip(scenes, scenes[1:], strict=False):
        for statement in pair_statements(left, right, 3, rng):
            assert is_true(statement.text, left, right) == statement.truth, statement
            kinds[statement.text.split()[0], statement.truth] += 1
    assert set(kinds) == {(word, truth) for word in ("the", "each", "there", "in") for truth in (True, False)}
    for word in ("the", "each", "there", "in"):
        share = kinds[word, True] / (kinds[word, True] + kinds[word, False])
        assert 0.4 < share < 0.6, f"{word!r} alone would reveal the answer: {kinds}"


def test_two_equal_images_give_no_comparison_of_counts():
    same = scene(("red", "circle", 16, 16), ("blue", "star", 48, 16))
    texts = [s.text for seed in range(20) for s in pair_statements(same, same, 3, np.random.default_rng(seed))]
    assert texts and not any("more" in text for text in texts)


def test_a_relation_is_turned_into_a_false_one_only_where_no_two_objects_fit_it():
    two_ways = scene(("red", "circle", 8, 32), ("blue", "star", 32, 32), ("red", "circle", 56, 32))
    texts = [s for seed in range(50) for s in pair_statements(two_ways, two_ways, 3, np.random.default_rng(seed))]
    assert not any(s.text.startswith("in") for s in texts)


def test_judgements_fit_the_scene():
    rng = np.random.default_rng(0)
    kinds = Counter()
    for number in range(200):
        drawn = scene_at(SETTINGS, "train", number)
        for text, label in judgements(drawn, rng):
            kinds[label] += 1
            if label == "contradiction":
                assert text not in statements(drawn)
            if label == "entailment":
                assert text in statements(drawn)
    assert kinds["entailment"] == 200 and kinds["contradiction"] == 200 and kinds["neutral"] > 50


def test_a_diagonal_is_neutral_and_nothing_else_is():
    straight = scene(("red", "circle", 8, 32), ("blue", "star", 56, 32))
    diagonal = scene(("red", "circle", 8, 8), ("blue", "star", 32, 32), ("green", "star", 56, 8))
    rng = np.random.default_rng(0)
    assert {label for _, label in judgements(straight, rng)} == {"entailment", "contradiction"}
    neutral = {text for _ in range(50) for text, label in judgements(diagonal, rng) if label == "neutral"}
    assert all("blue" in text for text in neutral) and len(neutral) > 4


def test_files_have_the_form_of_nlvr2_and_snli_ve(planned):
    files = statement_files("train", planned[:20], SETTINGS)
    pairs, judged = files["statements_train.jsonl"], files["entailment_train.jsonl"]
    assert len({row["identifier"] for row in pairs}) == len(pairs) == 80
    assert set(pairs[0]) == {"identifier", "sentence", "label", "images"}
    assert pairs[0]["images"][0] == "000000000001.jpg" and {row["label"] for row in pairs} == {"True", "False"}
    assert len({row["pairID"] for row in judged}) == len(judged)
    assert judged[0]["Flickr30K_ID"] == "000000000001"
    assert statement_files("train", planned[:20], SETTINGS) == files


def test_every_word_is_in_the_vocabulary_that_ships(planned):
    words = CorpusTokenizer(max_length=16)
    files = statement_files("train", planned, SceneSettings())
    texts = [row["sentence"] for row in files["statements_train.jsonl"]]
    texts += [row["sentence2"] for row in files["entailment_train.jsonl"]]
    assert words.unk_token_id not in words(texts).input_ids
    assert words.num_truncated == 0
