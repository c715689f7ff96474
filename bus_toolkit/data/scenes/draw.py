"""Drawing a scene: textured background, clutter lines, filled shapes, noise."""

from __future__ import annotations

import cv2
import numpy as np

from bus_toolkit.data.scenes.scene import Scene, SceneObject
from bus_toolkit.data.scenes.settings import COLOURS, SceneSettings

_SUPERSAMPLE = 2
# cv2 takes polygon corners as integers with this many binary places.
_SHIFT = 4


def draw_scene(scene: Scene, settings: SceneSettings, rng: np.random.Generator) -> np.ndarray:
    """Return the picture of a scene, uint8 (H, W, 3) in OpenCV's order blue, green, red."""
    canvas = _background(scene.image_size * _SUPERSAMPLE, settings, rng)
    for item in scene.objects:
        _draw_object(canvas, item, rng)
    small = cv2.resize(canvas, (scene.image_size, scene.image_size), interpolation=cv2.INTER_AREA)
    noise = rng.standard_normal(small.shape, dtype=np.float32) * np.float32(settings.noise)
    return cv2.add(small, np.rint(noise).astype(np.int16), dtype=cv2.CV_8U)


def _background(size: int, settings: SceneSettings, rng: np.random.Generator) -> np.ndarray:
    """Return a greyish, tinted, cloudy ground with thin lines: a flat one would flatter the removal of patches."""
    ground = rng.uniform(90, 170) + rng.uniform(-14, 14, size=3)
    clouds = rng.uniform(-26, 26, size=(7, 7, 1)) + rng.uniform(-8, 8, size=(7, 7, 3))
    canvas = cv2.resize((clouds + ground).astype(np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(settings.clutter + 1))):
        ends = rng.integers(0, size, size=4).tolist()
        shade = (rng.uniform(60, 200) + rng.uniform(-15, 15, size=3)).tolist()
        width = max(1, size // 128) * int(rng.integers(1, 4))
        cv2.line(canvas, tuple(ends[:2]), tuple(ends[2:]), shade, width, cv2.LINE_AA)
    return canvas


def _draw_object(canvas: np.ndarray, item: SceneObject, rng: np.random.Generator) -> None:
    colour = np.clip(np.array(COLOURS[item.colour][::-1]) + rng.uniform(-12, 12, size=3), 0, 255).tolist()
    points = [_fixed_point(item.outline())]
    if item.shape == "ring":
        centre = np.array([item.x, item.y])
        points.append(_fixed_point(centre + (item.outline() - centre) * 0.5))
    cv2.fillPoly(canvas, points, colour, cv2.LINE_AA, _SHIFT)


def _fixed_point(outline: np.ndarray) -> np.ndarray:
    # Pixel i covers [i, i + 1) in our coordinates and is centred on i in OpenCV's.
    return np.round((outline * _SUPERSAMPLE - 0.5) * 2**_SHIFT).astype(np.int32)
