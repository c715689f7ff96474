import numpy as np

from bus_toolkit.data.scenes.draw import draw_scene
from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import COLOURS, SHAPES, SceneSettings

QUIET = SceneSettings(noise=0, clutter=0, shapes=SHAPES)


def drawn_pixels(shape):
    item = SceneObject(shape, "red", "large", x=40.0, y=24.0, radius=12.0, angle=0.1)
    picture = draw_scene(Scene(64, (item,)), QUIET, np.random.default_rng(0)).astype(int)
    distance = np.abs(picture[..., ::-1] - np.array(COLOURS["red"])).max(axis=-1)
    rows, columns = np.nonzero(distance < 25)
    return item, rows, columns


def test_every_shape_fills_its_box_and_nothing_else():
    for shape in SHAPES:
        item, rows, columns = drawn_pixels(shape)
        x1, y1, x2, y2 = item.box(64)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(box - np.array([x1, y1, x2, y2])).max() < 2.5, shape


def test_a_ring_has_a_hole():
    item, rows, columns = drawn_pixels("ring")
    assert not ((rows == int(item.y)) & (columns == int(item.x))).any()


def test_the_ground_is_not_flat():
    picture = draw_scene(Scene(64, ()), SceneSettings(), np.random.default_rng(0))
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert picture.std() > 5


def test_the_same_stream_draws_the_same_picture():
    first, second = (draw_scene(Scene(64, ()), SceneSettings(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
