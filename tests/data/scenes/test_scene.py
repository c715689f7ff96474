import math

import numpy as np

from bus_toolkit.data.scenes.scene import SceneObject, sample_scene
from bus_toolkit.data.scenes.settings import SHAPES, SceneSettings


def test_objects_lie_inside_and_do_not_overlap():
    settings = SceneSettings(num_objects=(2, 5), shapes=SHAPES, radii={"small": 5.4, "large": 10.6})
    rng = np.random.default_rng(0)
    for _ in range(50):
        scene = sample_scene(settings, rng)
        assert 2 <= len(scene.objects) <= 5
        for i, a in enumerate(scene.objects):
            assert a.radius <= a.x <= 64 - a.radius and a.radius <= a.y <= 64 - a.radius
            for b in scene.objects[:i]:
                assert math.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius


def test_larger_pictures_have_larger_objects():
    small = sample_scene(SceneSettings(), np.random.default_rng(1))
    large = sample_scene(SceneSettings(image_size=128), np.random.default_rng(1))
    assert abs(large.objects[0].radius - 2 * small.objects[0].radius) < 1e-9


def test_the_box_encloses_the_outline_tightly():
    item = SceneObject("square", "red", "small", x=20.0, y=30.0, radius=10.0, angle=0.0)
    half = 10 * math.sqrt(0.5)
    assert np.allclose(item.box(64), (20 - half, 30 - half, 20 + half, 30 + half))


def test_a_triangle_points_up():
    item = SceneObject("triangle", "red", "small", x=20.0, y=30.0, radius=10.0, angle=0.0)
    top = item.outline()[0]
    assert np.allclose(top, (20, 20))
