"""The part of each box that is in view, followed through affine maps: a convex outline, whose hull is a box again.

An outline is the corners of a convex polygon in order, floats (k, 2) in pixels; none where nothing is in view.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_Point = tuple[float, float]


def outlines_of(boxes: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the outlines of boxes (n, 4), corners in pixels, as far as they lie in an image of ``size`` (H, W)."""
    corners = np.clip(boxes, 0, [size[1], size[0]] * 2)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (n, 4 corners, x and y)
    return [box if (box[2] > box[0]).all() else box[:0] for box in corners]


def move(outlines: Sequence[np.ndarray], matrix: np.ndarray) -> list[np.ndarray]:
    """Map outlines by a matrix (2, 3) that acts on pixel numbers, as OpenCV's do: pixel 0 has its centre at 0.5."""
    return [(outline - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5 for outline in outlines]


def cut(outlines: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Return outlines as far as they lie in an image of ``size`` (H, W)."""
    return [outline if is_inside(outline, size) else _cut(outline, size) for outline in outlines]


def is_inside(outline: np.ndarray, size: tuple[int, int], slack: float = 0.0) -> bool:
    """Return whether an outline lies within an image of ``size`` (H, W), or at most ``slack`` pixels outside."""
    return bool((outline >= -slack).all() and (outline <= [size[1] + slack, size[0] + slack]).all())


def hulls(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Return the smallest box, float32 (n, 4), around each outline; zeros where nothing is in view."""
    boxes = [np.concatenate([o.min(axis=0), o.max(axis=0)]) if len(o) else np.zeros(4) for o in outlines]
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def _cut(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut an outline at each border in turn; plain numbers, since arrays of four points cost more than they save."""
    points: list[_Point] = [(x, y) for x, y in outline.tolist()]
    for axis, limit in ((0, float(size[1])), (1, float(size[0]))):
        points = _half(points, axis, 0.0, 1.0)
        points = _half(points, axis, limit, -1.0)
    return np.array(points).reshape(-1, 2)


def _half(points: list[_Point], axis: int, limit: float, sign: float) -> list[_Point]:
    """Return the part of a polygon on one side of a line along an axis (Sutherland and Hodgman)."""
    kept: list[_Point] = []
    for number, point in enumerate(points):
        before = points[number - 1]
        depth, depth_before = (point[axis] - limit) * sign, (before[axis] - limit) * sign
        if (depth > 0) != (depth_before > 0):
            share = depth_before / (depth_before - depth)
            kept.append((before[0] + share * (point[0] - before[0]), before[1] + share * (point[1] - before[1])))
        if depth > 0:
            kept.append(point)
    return kept
