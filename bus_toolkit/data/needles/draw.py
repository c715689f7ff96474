"""Drawing a needle scene: a textured ground with thin lines, objects with marks, noise."""

from __future__ import annotations

import math

import cv2
import numpy as np

from bus_toolkit.data.needles.scene import STEPS, NeedleScene
from bus_toolkit.data.needles.settings import BACKGROUNDS, COLOURS, NeedleSettings
from bus_toolkit.data.needles.sprites import sprites

# Blue, green, red, as OpenCV has them.
_COLOURS = np.array(list(COLOURS.values()), np.float32)[:, ::-1]
_BACKGROUNDS = np.array(list(BACKGROUNDS.values()), np.float32)[:, ::-1]
# How far colours vary from object to object and from picture to picture, in grey levels.
_VARIATION = 8


def draw_scene(scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> np.ndarray:
    """Return the picture of a scene, uint8 (H, W, 3) in OpenCV's order blue, green, red.

    Ground, lines and noise do not depend on the objects: with the same random stream, a scene without its last object
    differs inside that object's box alone.
    """
    size = scene.image_size
    noise = rng.standard_normal((size, size, 3), dtype=np.float32) * np.float32(settings.noise)
    ground = _ground(scene, settings, rng)
    margin = _canvas(settings) // 2
    canvas = np.pad(ground.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)))
    _draw_objects(canvas, scene, settings, rng)
    picture = canvas[margin : margin + size, margin : margin + size] + noise
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _ground(scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> np.ndarray:
    """Return a tinted ground with clouds of two sizes and thin lines: a flat one would flatter a smaller image."""
    size = scene.image_size
    tint = _BACKGROUNDS[scene.background] + rng.uniform(-_VARIATION, _VARIATION, 3).astype(np.float32)
    clouds = rng.standard_normal((7, 7, 3), dtype=np.float32) * 6
    grain = rng.standard_normal((size // 4, size // 4), dtype=np.float32) * 10
    ground = cv2.resize(clouds, (size, size), interpolation=cv2.INTER_CUBIC) + tint
    ground += cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
    canvas = np.clip(ground, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(settings.clutter + 1))):
        ends = rng.integers(0, size, 4).tolist()
        shade = np.clip(tint + rng.normal(0, 40) + rng.normal(0, 8, 3), 0, 255).tolist()
        cv2.line(canvas, ends[:2], ends[2:], shade, 1, cv2.LINE_AA)
    return canvas


def _canvas(settings: NeedleSettings) -> int:
    """Return the even side of a sprite that holds the largest object wherever it lies between the pixels."""
    return 2 * math.ceil(settings.largest_side / 2 + 1)


def _draw_objects(canvas: np.ndarray, scene: NeedleScene, settings: NeedleSettings, rng: np.random.Generator) -> None:
    """Draw all objects onto a canvas that has a margin of half a sprite on each side."""
    count, side = len(scene), _canvas(settings)
    variation = rng.uniform(-_VARIATION, _VARIATION, (count, 2, 3))
    # (count, 2, 1, 1, 3): body and ink of each object
    paint = (np.stack([_COLOURS[scene.colour], _COLOURS[scene.ink]], axis=1) + variation)[:, :, None, None]
    paint = paint.astype(np.float32)
    steps = np.rint(np.stack([scene.y, scene.x], axis=1) * STEPS).astype(np.int64)
    corner, between = np.divmod(steps, STEPS)  # of the sprite on the canvas: the margin is half a sprite
    covers = np.empty((2, count, side, side, 1), np.float32)
    for i, (own, (row, column)) in enumerate(zip(scene.side.tolist(), between.tolist(), strict=True)):
        bodies, glyphs = sprites(own, side)
        covers[0, i, ..., 0] = bodies[scene.shape[i], row, column]
        covers[1, i, ..., 0] = glyphs[scene.glyph[i], row, column]
    # A mark ends where its body does: the outline is a part of the name.
    body, mark = covers[0], covers[0] * covers[1]
    # ground -> body over ground -> mark over both, as one factor and one term (count, side, side, 3) for the ground.
    kept = (1 - body) * (1 - mark)
    added = paint[:, 0] * body * (1 - mark) + paint[:, 1] * mark
    for i, (top, left) in enumerate(corner.tolist()):
        window = canvas[top : top + side, left : left + side]
        window *= kept[i]
        window += added[i]
