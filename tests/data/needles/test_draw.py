import dataclasses

import numpy as np
import pytest

from bus_toolkit.data.needles.draw import draw_scene
from bus_toolkit.data.needles.scene import NeedleScene, sample_scene
from bus_toolkit.data.needles.settings import COLOURS, GLYPHS, SHAPES, NeedleSettings

FEW = {"questions_per_image": {"control": 1}, "expressions_per_image": 1, "named_per_caption": 1}
FIELDS = [field.name for field in dataclasses.fields(NeedleScene)[3:]]


def with_objects(scene, order):
    return dataclasses.replace(scene, **{name: getattr(scene, name)[order] for name in FIELDS})


@pytest.mark.parametrize("layout", ["lattice", "scattered"])
def test_an_object_changes_the_pixels_of_its_box_alone_and_all_sides_of_it(layout):
    settings = NeedleSettings(layout=layout, num_objects=(12, 12), image_size=96)
    scene = sample_scene(settings, np.random.default_rng(1))
    for chosen in range(0, 12, 3):
        order = [place for place in range(12) if place != chosen]
        pictures = [
            draw_scene(with_objects(scene, places), settings, np.random.default_rng(2)).astype(int)
            for places in ([*order, chosen], order)
        ]
        rows, columns = np.nonzero(abs(pictures[0] - pictures[1]).max(axis=2))
        x, y, width, height = scene.boxes()[chosen]
        assert x - 1 < columns.min() <= x + 1 and x + width - 1 <= columns.max() + 1 < x + width + 1
        assert y - 1 < rows.min() <= y + 1 and y + height - 1 <= rows.max() + 1 < y + height + 1


def one_object(side, colour, shape, ink, glyph, place=10.0):
    values = {
        "x": [place],
        "y": [place],
        "side": [side],
        "colour": [list(COLOURS).index(colour)],
        "shape": [SHAPES.index(shape)],
        "ink": [list(COLOURS).index(ink)],
        "glyph": [GLYPHS.index(glyph)],
    }
    return NeedleScene(32, 1, 5, **{name: np.array(value) for name, value in values.items()})


@pytest.mark.parametrize("side", [6.0, 8.0, 11.0])
def test_some_pixel_shows_body_and_ink_nearly_pure_at_every_place_between_pixels(side):
    settings = NeedleSettings(image_size=32, object_size=side, num_objects=(1, 1), noise=0, **FEW)
    for shape in SHAPES:
        for glyph in GLYPHS:
            for place in (10.0, 10.25, 10.5, 10.75):
                scene = one_object(side, "white", shape, "blue", glyph, place)
                picture = draw_scene(scene, settings, np.random.default_rng(0))[:, :, ::-1].astype(int)
                for name in ("white", "blue"):
                    assert abs(picture - COLOURS[name]).max(axis=2).min() < 80, (shape, glyph, place, name)


def test_no_two_objects_look_alike_at_six_pixels():
    """Their distance in all pixels is at least 15 times the noise of a pixel."""
    settings = NeedleSettings(image_size=32, object_size=6, num_objects=(1, 1), noise=0, **FEW)
    objects = [one_object(6.0, "white", shape, "black", glyph) for shape in SHAPES for glyph in GLYPHS]
    looks = np.stack([draw_scene(item, settings, np.random.default_rng(0)) for item in objects]).astype(float)
    distances = np.sqrt(((looks[:, None] - looks) ** 2).sum(axis=(2, 3, 4)) / 3)
    assert distances[~np.eye(len(looks), dtype=bool)].min() > 15 * NeedleSettings().noise


def test_noise_and_lines_are_settings():
    scene = one_object(8.0, "red", "circle", "white", "dot")
    quiet = NeedleSettings(image_size=32, num_objects=(1, 1), noise=0, clutter=0, **FEW)
    loud = dataclasses.replace(quiet, noise=40.0)
    pictures = [draw_scene(scene, settings, np.random.default_rng(0)).astype(int) for settings in (quiet, loud)]
    assert abs(pictures[0] - pictures[1]).mean() > 20
    assert pictures[0].shape == (32, 32, 3)
