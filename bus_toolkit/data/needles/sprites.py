"""How much of each pixel a body or a glyph covers, at every place between the pixels."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from bus_toolkit.data.needles.scene import STEPS
from bus_toolkit.data.needles.settings import GLYPHS, SHAPES

# Points a pixel and axis that are looked at for its cover.
_SUPERSAMPLE = 8
# Half the length and half the width of a stroke, in units of half the side of the box. At a side of 8 px a stroke is
# 5.4 x 1.8 px, so that one pixel at least shows the ink alone wherever the object lies.
_REACH, _HALF_WIDTH = 0.68, 0.22


@lru_cache(maxsize=256)
def sprites(side: float, canvas: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the covers of all bodies and all glyphs of a side, float32 in [0, 1].

    Args:
        side: Of the object's box, in pixels.
        canvas: Even side of the sprites in pixels, at least ``side`` + 1.

    Returns:
        Bodies (shapes, STEPS, STEPS, canvas, canvas) and glyphs (glyphs, ...). Place ``[:, i, j]`` has the centre
        ``i / STEPS`` below and ``j / STEPS`` to the right of the canvas' centre.
    """
    points = (np.arange(canvas * _SUPERSAMPLE) + 0.5) / _SUPERSAMPLE - canvas / 2
    # (STEPS, points): distances from the centre, in units of half the side.
    distance = (points - np.arange(STEPS)[:, None] / STEPS) * 2 / side
    v, u = distance[:, None, :, None], distance[None, :, None, :]  # down and right
    forms = (_bodies(u, v), _glyphs(u, v))
    return _covers([forms[0][name] for name in SHAPES], canvas), _covers([forms[1][name] for name in GLYPHS], canvas)


def _covers(inside: list[np.ndarray], canvas: int) -> np.ndarray:
    """Return the share of the points of each pixel that lie inside."""
    points = np.stack([np.broadcast_to(form, (STEPS, STEPS, *(canvas * _SUPERSAMPLE,) * 2)) for form in inside])
    split = points.reshape(len(inside), STEPS, STEPS, canvas, _SUPERSAMPLE, canvas, _SUPERSAMPLE)
    return split.mean(axis=(4, 6), dtype=np.float32)


def _bodies(u: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    au, av = abs(u), abs(v)
    inside = (au < 1) & (av < 1)
    return {
        "circle": u**2 + v**2 < 1,
        "square": inside,
        "diamond": inside & (au + av < 1.12),
        "cross": inside & ((au < 0.44) | (av < 0.44)),
    }


def _glyphs(u: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    au, av, w = abs(u), abs(v), _HALF_WIDTH
    bar, dash = (au < w) & (av < _REACH), (av < w) & (au < _REACH)
    # Diagonal strokes end on a smaller square, which makes them as long as the straight ones.
    within = np.maximum(au, av) < _REACH * 0.85
    slash, backslash = (abs(u + v) < w * math.sqrt(2)) & within, (abs(u - v) < w * math.sqrt(2)) & within
    ring = np.maximum(au, av)
    return {
        "bar": bar,
        "dash": dash,
        "plus": bar | dash,
        "slash": slash,
        "backslash": backslash,
        "times": slash | backslash,
        "frame": (ring < 0.62) & (ring > 0.27),
        "dot": u**2 + v**2 < 0.4**2,
    }
