import numpy as np

from bus_toolkit.data.scenes.captions import (
    choose_captions,
    choose_unique_captions,
    relation,
    scene_captions,
    scene_descriptions,
    statements,
)
from bus_toolkit.data.scenes.plan import scene_at
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import SceneSettings


def thing(x, y, shape="circle", colour="red", size="small"):
    return SceneObject(shape, colour, size, x, y, 6.0, 0.0)


def test_relations_follow_the_axes_of_the_picture():
    middle = thing(30, 30)
    assert relation(thing(10, 30), middle) == "left-of"
    assert relation(thing(50, 30), middle) == "right-of"
    assert relation(thing(30, 10), middle) == "above"
    assert relation(thing(30, 50), middle) == "below"
    assert relation(thing(10, 10), middle) is None


def test_an_object_that_is_there_twice_is_never_named():
    scene = Scene(64, (thing(10, 30), thing(50, 30), thing(30, 50, "star", "blue")))
    assert scene_captions(scene) == []
    assert "a small red circle left-of a small red circle" in statements(scene)


def test_captions_name_the_objects_they_say():
    scene = scene_at(SceneSettings(), "train", 5)
    for caption in scene_captions(scene):
        first, second = scene.objects[caption.first], scene.objects[caption.second]
        words = caption.text.split()
        assert words == ["a", *first.words, relation(first, second), "a", *second.words]


def test_chosen_captions_differ_in_their_ordered_pair():
    scene = scene_at(SceneSettings(num_objects=(4, 4)), "train", 1)
    chosen = choose_captions(scene, 4, np.random.default_rng(0))
    assert len({(c.first, c.second) for c in chosen}) == len(chosen) == 4


def test_a_unique_caption_can_be_said_of_no_other_scene():
    scenes = [scene_at(SceneSettings(), "test", i) for i in range(60)]
    chosen = choose_unique_captions(scenes)
    for number, caption in enumerate(chosen):
        if caption is not None:
            assert [i for i, scene in enumerate(scenes) if caption.text in statements(scene)] == [number]
    assert sum(c is not None for c in chosen) > 50


def test_equal_scenes_have_no_unique_caption():
    scene = scene_at(SceneSettings(), "test", 0)
    assert choose_unique_captions([scene, scene]) == [None, None]


def test_a_description_names_every_object_that_it_fits():
    scene = Scene(64, (thing(10, 30), thing(50, 30, colour="blue"), thing(30, 50, "star", "blue", "large")))
    assert scene_descriptions(scene) == {
        "circle": [0, 1],
        "small circle": [0, 1],
        "red circle": [0],
        "small red circle": [0],
        "blue circle": [1],
        "small blue circle": [1],
        "star": [2],
        "large star": [2],
        "blue star": [2],
        "large blue star": [2],
    }
