"""The scene graph: objects and their positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bus_toolkit.data.scenes.settings import REFERENCE_SIZE, SceneSettings

# Share of the radius that separates two objects, beside the radii themselves.
_GAP = 0.15
_PLACEMENT_TRIES = 40


@dataclass(frozen=True)
class SceneObject:
    """One object: words for it, and its position in pixels (x to the right, y downward)."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def words(self) -> tuple[str, str, str]:
        """Size, colour and shape, in the order of the caption."""
        return self.size, self.colour, self.shape

    def outline(self) -> np.ndarray:
        """Return the closed outline of the shape, (K, 2) pixels."""
        unit = _OUTLINES[self.shape]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turned = unit @ np.array([[cos, sin], [-sin, cos]])
        return turned * self.radius + np.array([self.x, self.y])

    def box(self, image_size: int) -> tuple[float, float, float, float]:
        """Return the bounding box ``x1, y1, x2, y2`` of the outline in pixels, inside the picture."""
        points = self.outline()
        x1, y1 = np.clip(points.min(axis=0), 0, image_size)
        x2, y2 = np.clip(points.max(axis=0), 0, image_size)
        return float(x1), float(y1), float(x2), float(y2)


@dataclass(frozen=True)
class Scene:
    """Objects that do not overlap, in a square picture of ``image_size`` pixels."""

    image_size: int
    objects: tuple[SceneObject, ...]


def sample_scene(settings: SceneSettings, rng: np.random.Generator) -> Scene:
    """Draw a scene; where its objects find no place, draw again, which favours small objects in full scenes."""
    while True:
        scene = _try_scene(settings, rng)
        if scene is not None:
            return scene


def _try_scene(settings: SceneSettings, rng: np.random.Generator) -> Scene | None:
    scale = settings.image_size / REFERENCE_SIZE
    sizes = list(settings.radii)
    objects: list[SceneObject] = []
    for _ in range(int(rng.integers(settings.num_objects[0], settings.num_objects[1] + 1))):
        size = sizes[int(rng.integers(len(sizes)))]
        shape = settings.shapes[int(rng.integers(len(settings.shapes)))]
        colour = settings.colours[int(rng.integers(len(settings.colours)))]
        radius = settings.radii[size] * scale * float(rng.uniform(0.94, 1.06))
        place = _find_place(objects, radius, settings.image_size, rng)
        if place is None:
            return None
        angle = float(rng.uniform(-0.15, 0.15))
        objects.append(SceneObject(shape, colour, size, place[0], place[1], radius, angle))
    return Scene(settings.image_size, tuple(objects))


def _find_place(
    objects: list[SceneObject], radius: float, image_size: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    tries = rng.uniform(radius, image_size - radius, size=(_PLACEMENT_TRIES, 2)).tolist()
    for x, y in tries:
        if all(math.hypot(x - o.x, y - o.y) >= (radius + o.radius) * (1 + _GAP) for o in objects):
            return x, y
    return None


def _around(radii: list[float], start: float = -math.pi / 2) -> np.ndarray:
    """Return points at these distances, evenly spread around the centre, the first one straight up."""
    angles = start + 2 * math.pi * np.arange(len(radii)) / len(radii)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]


def _cross() -> np.ndarray:
    a, b = 0.34, 0.94
    corners = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    return np.array(corners, dtype=float)


# Unit outlines; the circle is a little smaller so that areas are alike.
_OUTLINES: dict[str, np.ndarray] = {
    "circle": _around([0.9] * 32),
    "ring": _around([1.0] * 32),
    "square": _around([1.0] * 4, start=-math.pi / 4),
    "triangle": _around([1.0] * 3),
    "star": _around([1.0, 0.42] * 5),
    "cross": _cross(),
}
