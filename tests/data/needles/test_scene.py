from collections import Counter

import numpy as np
import pytest

from bus_toolkit.data.needles.captions import choose_unique_captions
from bus_toolkit.data.needles.scene import sample_scene
from bus_toolkit.data.needles.settings import NeedleSettings
from bus_toolkit.data.needles.texts import needle_expressions, needle_questions

CROWDED = NeedleSettings(num_objects=(20, 22), num_repeated=(70, 76), object_size=6, cells=14)


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(CROWDED, np.random.default_rng(seed)) for seed in range(40)]


def test_repeated_objects_share_names_that_no_named_object_has(scenes):
    for scene in scenes:
        count = Counter(map(scene.name, range(len(scene))))
        assert 20 <= scene.num_named <= 22 and 70 <= len(scene) - scene.num_named <= 76
        assert all(count[scene.name(place)] == 1 for place in range(scene.num_named))
        assert all(count[scene.name(place)] >= 2 for place in range(scene.num_named, len(scene)))


def test_texts_name_objects_that_have_a_name_of_their_own(scenes):
    for number, scene in enumerate(scenes):
        rng = np.random.default_rng(number)
        asked = [place for question in needle_questions(scene, CROWDED, rng) for place in question.named]
        meant = [expression.target for expression in needle_expressions(scene, CROWDED, rng)]
        assert max(asked + meant) < scene.num_named
    captions = choose_unique_captions(list(enumerate(scenes)), CROWDED, "val")
    assert all(max(caption.named) < scene.num_named for caption, scene in zip(captions, scenes, strict=True))


def test_a_caption_is_not_true_of_repeated_objects_of_another_scene(scenes):
    captions = choose_unique_captions(list(enumerate(scenes)), CROWDED, "val")
    for caption, own in zip(captions, scenes, strict=True):
        parts = {f"a {own.name(i)} with a {own.ink_name(i)} {own.glyph_name(i)}" for i in caption.named}
        for scene in scenes:
            shown = {f"a {scene.name(i)} with a {scene.ink_name(i)} {scene.glyph_name(i)}" for i in range(len(scene))}
            assert (parts <= shown and scene.background == own.background) == (scene is own)
