"""Nothing but the mark of the object that a question names gives the answer away.

Independence is tested by chi-square over a few thousand scene graphs, which are not drawn. The seed is fixed, so a test
passes always or never; a statistic may lie 4.5 standard deviations above what chance alone gives.
"""

from collections import Counter

import numpy as np
import pytest

from bus_toolkit.data.needles.captions import choose_unique_captions
from bus_toolkit.data.needles.scene import sample_scene
from bus_toolkit.data.needles.settings import BACKGROUNDS, COLOURS, NeedleSettings
from bus_toolkit.data.needles.texts import needle_expressions, needle_questions
from bus_toolkit.data.scenes.streams import stream

LAYOUTS = {"lattice": NeedleSettings(), "scattered": NeedleSettings(num_objects=(18, 24), layout="scattered")}
NUM_SCENES = {"lattice": 1500, "scattered": 600}


@pytest.fixture(scope="module", params=LAYOUTS)
def scenes(request):
    settings = LAYOUTS[request.param]
    return [sample_scene(settings, stream(settings, "train", n, "scene")) for n in range(NUM_SCENES[request.param])]


@pytest.fixture(scope="module")
def asked(scenes):
    """Scene number, order in the scene's questions, question."""
    settings = LAYOUTS["lattice"]
    return [
        (number, place, question)
        for number, scene in enumerate(scenes)
        for place, question in enumerate(
            needle_questions(scene, settings, stream(settings, "train", number, "questions"))
        )
    ]


def excess(rows, columns, expected=None):
    """Standard deviations by which the chi-square of a table lies above its mean under independence."""
    table = np.zeros((len(set(rows)), len(set(columns))))
    codes = [np.unique(values, return_inverse=True)[1] for values in (rows, columns)]
    np.add.at(table, tuple(codes), 1)
    if expected is None:
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    else:
        expected = expected(table)
        freedom = (expected > 0).sum() - len(table)
    assert (table[expected == 0] == 0).all()
    seen = expected > 0
    assert freedom > 0 and expected[seen].min() > 4, "too few samples for a chi-square"
    return (((table - expected)[seen] ** 2 / expected[seen]).sum() - freedom) / np.sqrt(2 * freedom)


def without_own_colour(table):
    """What inks are to be expected, body colour by body colour (rows), if they are any other colour."""
    return table.sum(1, keepdims=True) * (1 - np.eye(len(table))) / (len(table) - 1)


def features(scenes):
    """What a picture shows of an object beside its mark, and what files and order say: name to (objects,)."""
    number = np.repeat(np.arange(len(scenes)), [len(scene) for scene in scenes])
    x, y, side, shape = (np.concatenate([getattr(s, name) for s in scenes]) for name in ("x", "y", "side", "shape"))
    size = scenes[0].image_size
    return {
        "column": x * 4 // size,
        "row": y * 4 // size,
        "side": np.floor(side),
        "number of objects": np.repeat([len(scene) for scene in scenes], [len(scene) for scene in scenes]),
        "background": np.repeat([scene.background for scene in scenes], [len(scene) for scene in scenes]),
        "order": np.concatenate([np.arange(len(scene)) for scene in scenes]) // 4,
        "id": number % 8,
        "shape": shape,
        "half": number * 2 // len(scenes),
    }


def test_a_glyph_depends_on_nothing_else(scenes):
    glyph = np.concatenate([scene.glyph for scene in scenes])
    others = features(scenes) | {name: np.concatenate([getattr(s, name) for s in scenes]) for name in ("colour", "ink")}
    for name, values in others.items():
        if len(set(values)) > 1:
            assert excess(values, glyph) < 4.5, name
    assert excess(np.zeros(len(glyph)), glyph, lambda table: np.full_like(table, table.mean())) < 4.5


def test_an_ink_depends_on_the_colour_of_its_body_alone_which_it_never_has(scenes):
    colour, ink = (np.concatenate([getattr(scene, name) for scene in scenes]) for name in ("colour", "ink"))
    assert excess(colour, ink, without_own_colour) < 4.5
    step = (ink - colour) % len(COLOURS)  # independent of the body
    for name, values in features(scenes).items():
        if len(set(values)) > 1:
            assert excess(values, step) < 4.5, name


def test_marks_of_two_objects_of_a_scene_are_independent(scenes):
    first, second = np.array([scene.glyph[:2] for scene in scenes]).T
    assert excess(first, second) < 4.5
    steps = np.array([(scene.ink[:2] - scene.colour[:2]) % len(COLOURS) for scene in scenes]).T
    assert excess(*steps) < 4.5


def test_places_and_names_and_backgrounds_are_independent(scenes):
    known = features(scenes)
    name = np.concatenate([scene.colour for scene in scenes])
    for other in ("column", "row", "order", "id", "background"):
        assert excess(known[other], name) < 4.5, other
    one_a_scene = [scene.background for scene in scenes]
    assert excess([0] * len(scenes), one_a_scene, lambda table: np.full_like(table, table.mean())) < 4.5
    assert excess([len(scene) for scene in scenes], one_a_scene) < 4.5


@pytest.mark.parametrize("kind", ["attribute", "glyph"])
def test_a_question_alone_gives_no_answer(asked, kind):
    """Neither its words nor its order in the file; an attribute is never the body's own colour, so chance is 1 of 7."""
    own = [(place, question) for _, place, question in asked if question.kind == kind]
    *_, colour, shape = zip(*(question.text.split() for _, question in own), strict=True)
    answers = [question.answer for _, question in own]
    by_colour = without_own_colour if kind == "attribute" else None
    assert excess(colour, answers, by_colour) < 4.5
    assert excess(shape, answers) < 4.5
    assert excess([place for place, _ in own], answers) < 4.5
    assert excess([0] * len(own), answers, lambda table: np.full_like(table, table.mean())) < 4.5


@pytest.mark.parametrize(("kind", "chance"), [("attribute", 1 / 7), ("glyph", 1 / 8)])
def test_the_most_frequent_answer_of_a_question_is_right_by_chance(asked, kind, chance):
    """Counted on one half of the scenes, used on the other."""
    own = [question for _, _, question in asked if question.kind == kind]
    counts = {}
    for question in own[::2]:
        counts.setdefault(question.text, Counter())[question.answer] += 1
    best = {text: counted.most_common(1)[0][0] for text, counted in counts.items()}
    right = np.mean([best[question.text] == question.answer for question in own[1::2]])
    assert abs(right - chance) < 4 * np.sqrt(chance / len(own[1::2]))


def test_who_sees_all_marks_and_not_the_question_guesses_the_most_frequent_one(scenes, asked):
    """That is the best that a picture alone allows: 22 to 25 % here, more with fewer objects."""
    frequent = [Counter(scene.glyph_name(place) for place in range(len(scene))).most_common(1)[0] for scene in scenes]
    allowed = np.mean([count / len(scene) for (_, count), scene in zip(frequent, scenes, strict=True)])
    right = np.mean([frequent[number][0] == q.answer for number, _, q in asked if q.kind == "glyph"])
    assert 0.2 < allowed < 0.27 and abs(right - allowed) < 0.05


def test_a_control_question_alone_gives_no_answer(asked):
    own = [question for _, _, question in asked if question.kind == "control"]
    assert {(question.text, question.named) for question in own} == {("what color is the background", ())}
    assert set(question.answer for question in own) == set(BACKGROUNDS)


def test_any_object_is_asked_for_alike(scenes, asked):
    """So what a picture shows, without the question, does not say what is asked for: order, place, size and name."""
    known = features(scenes) | {"colour": np.concatenate([scene.colour for scene in scenes])}
    first = np.cumsum([0, *(len(scene) for scene in scenes)])
    for kind in ("attribute", "glyph"):
        chosen = np.zeros(first[-1], int)
        chosen[[first[number] + question.named[0] for number, _, question in asked if question.kind == kind]] = 1
        for name in ("order", "column", "row", "side", "shape", "colour"):
            if len(set(known[name])) > 1:
                assert excess(known[name], chosen) < 4.5, name


def test_a_question_names_the_object_whose_mark_answers_it(scenes, asked):
    for number, _, question in asked[:2000]:
        if question.kind != "control":
            scene, (place,) = scenes[number], question.named
            assert question.text.endswith(f" the {scene.name(place)}")
            assert question.answer == (scene.ink_name if question.kind == "attribute" else scene.glyph_name)(place)


def test_a_name_fits_one_object_of_its_scene(scenes):
    for scene in scenes:
        assert len({scene.name(place) for place in range(len(scene))}) == len(scene)
    settings = NeedleSettings()
    expressions = needle_expressions(scenes[0], settings, np.random.default_rng(0))
    assert [e.text for e in expressions] == [f"the {scenes[0].name(e.target)}" for e in expressions]
    assert len({e.target for e in expressions}) == settings.expressions_per_image


def test_boxes_do_not_touch_and_lie_in_the_picture(scenes):
    for scene in scenes[:100]:
        boxes = scene.boxes()
        assert boxes[:, :2].min() >= 0 and (boxes[:, :2] + boxes[:, 2:]).max() <= scene.image_size
        apart = np.maximum(abs(np.subtract.outer(scene.x, scene.x)), abs(np.subtract.outer(scene.y, scene.y)))
        apart -= np.add.outer(scene.side, scene.side) / 2
        assert apart[~np.eye(len(scene), dtype=bool)].min() >= 0.75


def test_splits_share_no_scene():
    settings = NeedleSettings()
    seen = [
        sample_scene(settings, stream(settings, split, number, "scene"))
        for split in ("train", "val", "test")
        for number in range(30)
    ]
    assert len({(*scene.x.tolist(), *scene.glyph.tolist()) for scene in seen}) == len(seen)


def test_captions_of_an_evaluation_fit_one_image_each():
    settings = NeedleSettings(num_objects=(4, 5), named_per_caption=1, questions_per_image={"control": 1})
    scenes = [sample_scene(settings, stream(settings, "val", number, "scene")) for number in range(60)]
    captions = choose_unique_captions(list(enumerate(scenes)), settings, "val")
    facts = [
        (scene.name(place), scene.ink_name(place), scene.glyph_name(place), scene.background_name)
        for scene in scenes
        for place in range(len(scene))
    ]
    for scene, caption in zip(scenes, captions, strict=True):
        (place,) = caption.named
        fact = scene.name(place), scene.ink_name(place), scene.glyph_name(place), scene.background_name
        assert caption.text == "a {} with a {} {} on a {} background".format(*fact) and facts.count(fact) == 1
