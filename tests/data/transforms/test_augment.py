import numpy as np
import pytest

from bus_toolkit.data.scenes.captions import scene_captions
from bus_toolkit.data.scenes.draw import draw_scene
from bus_toolkit.data.scenes.plan import scene_at
from bus_toolkit.data.scenes.settings import COLOURS, SceneSettings
from bus_toolkit.data.transforms.augment import (
    RandomFlipWithText,
    RandomSwapImagesWithText,
    mirror_words,
)
from bus_toolkit.data.transforms.crops import RandomCropKeepNamed
from bus_toolkit.errors import ConfigError

SETTINGS = SceneSettings(noise=0, clutter=0)


def scene_sample(number):
    scene = scene_at(SETTINGS, "train", number)
    caption = scene_captions(scene)[0]
    return scene, {
        "img": draw_scene(scene, SETTINGS, np.random.default_rng(number)),
        "text": caption.text,
        "gt_bboxes": np.array([item.box(64) for item in scene.objects], dtype=np.float32),
        "named": np.isin(np.arange(len(scene.objects)), [caption.first, caption.second]),
    }


def assert_consistent(scene, sample):
    """Check that boxes have their object's colour in the middle, and that the caption's relation holds between them."""
    centres = (sample["gt_bboxes"][:, :2] + sample["gt_bboxes"][:, 2:]) / 2
    for item, (x, y) in zip(scene.objects, centres, strict=True):
        if 1 <= x < 63 and 1 <= y < 63:
            assert np.abs(sample["img"][int(y), int(x), ::-1].astype(int) - COLOURS[item.colour]).max() < 30
    words = sample["text"].split()
    places = {item.words: centre for item, centre in zip(scene.objects, centres, strict=True)}
    first, second = places[tuple(words[1:4])], places[tuple(words[6:9])]
    axis, sign = {"left-of": (0, 1), "right-of": (0, -1), "above": (1, 1), "below": (1, -1)}[words[4]]
    assert (second - first)[axis] * sign > 0


@pytest.mark.parametrize("number", range(8))
def test_flips_and_crops_keep_pixels_boxes_and_words_together(number):
    np.random.seed(number)
    scene, sample = scene_sample(number)
    assert_consistent(scene, sample)
    for transform in (RandomFlipWithText(1.0), RandomCropKeepNamed((0.5, 1.0)), RandomFlipWithText(0.5)):
        sample = transform(sample)
        assert_consistent(scene, sample)


def test_two_flips_change_nothing():
    _, sample = scene_sample(0)
    before = {key: value.copy() if hasattr(value, "copy") else value for key, value in sample.items()}
    twice = RandomFlipWithText(1.0)(RandomFlipWithText(1.0)(sample))
    assert np.array_equal(twice["img"], before["img"]) and twice["text"] == before["text"]
    assert np.allclose(twice["gt_bboxes"], before["gt_bboxes"], atol=1e-5)


def test_flips_words_without_boxes_too():
    sample = RandomFlipWithText(1.0)({"img": np.zeros((4, 4, 3), np.uint8), "text": "a cat left of a dog"})
    assert sample["text"] == "a cat right of a dog" and "gt_bboxes" not in sample


def test_flips_the_answers_of_a_question_and_leaves_the_given_lists_alone():
    answers = ["left", "the right one", "red"]
    given = {"img": np.zeros((4, 4, 3), np.uint8), "text": "which side", "gt_answer": answers, "answers": answers}
    sample = RandomFlipWithText(1.0)(given)
    assert sample["gt_answer"] == sample["answers"] == ["right", "the left one", "red"]
    assert answers == ["left", "the right one", "red"]
    one = {"img": np.zeros((4, 4, 3), np.uint8), "text": "which side", "gt_answer": "on the left"}
    assert RandomFlipWithText(1.0)(one)["gt_answer"] == "on the right", "one answer, as mmpretrain's GQA has it"


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("the left-of RIGHT Left", "the right-of LEFT Right"),
        ("the leftmost and right-hand ones", "the rightmost and left-hand ones"),
        ("bright copyright lefty", "bright copyright lefty"),
        ("right-handed, lefthanded, on the LEFTSIDE", "left-handed, righthanded, on the RIGHTSIDE"),
        (
            "turns Clockwise, not anti-clockwise or counterclockwise",
            "turns Counterclockwise, not clockwise or clockwise",
        ),
    ],
)
def test_mirrors_whole_words_only(text, mirrored):
    assert mirror_words(text) == mirrored


def test_never_flips_with_probability_zero():
    _, sample = scene_sample(0)
    assert RandomFlipWithText(0.0)(sample) is sample


def test_a_flip_may_leave_the_words_of_a_statement_about_two_images():
    sample = {"img": np.arange(12, dtype=np.uint8).reshape(2, 2, 3), "text": "the left image"}
    out = RandomFlipWithText(1.0, mirror_text=False)(dict(sample))
    assert out["text"] == "the left image" and np.array_equal(out["img"], sample["img"][:, ::-1])


def test_two_images_change_places_with_the_words_left_and_right():
    sample = {"img": ["a", "b"], "img_path": ["a.jpg", "b.jpg"], "text": "the Left dog turns clockwise"}
    out = RandomSwapImagesWithText(1.0)(dict(sample))
    assert out == {"img": ["b", "a"], "img_path": ["b.jpg", "a.jpg"], "text": "the Right dog turns clockwise"}
    assert RandomSwapImagesWithText(0.0)(dict(sample)) == sample
    with pytest.raises(OSError, match="needs a sample with two images"):
        RandomSwapImagesWithText()({"img": np.zeros((2, 2, 3), np.uint8), "text": "one"})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomFlipWithText(1.5), r"RandomFlipWithText.prob: must be in \[0, 1\], got 1.5"),
        (lambda: RandomSwapImagesWithText(-1), r"RandomSwapImagesWithText.prob: must be in \[0, 1\], got -1"),
    ],
)
def test_refuses_values_out_of_range(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
