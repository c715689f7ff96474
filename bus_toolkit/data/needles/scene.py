"""The graph of a needle scene: objects, their marks and places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bus_toolkit.data.needles.settings import BACKGROUNDS, COLOURS, GAP, GLYPHS, NUM_NAMES, SHAPES, NeedleSettings

# Centres lie on a grid of this many steps a pixel, sides on one of half as many: so the sprites of all objects are few.
STEPS = 4
_PLACEMENT_TRIES = 24
# Brightness of a colour (Rec. 601) above which a black ink contrasts more than a white one.
_BRIGHT = 128
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class NeedleScene:
    """Objects that do not overlap in a square picture; first those with a name of their own, then those without.

    Attributes:
        image_size: Side of the picture in pixels.
        num_named: Number of objects with a name of their own; texts ask about these.
        background: Place of its tint in ``BACKGROUNDS``.
        x: Centres float64 (n,) in pixels from the left.
        y: Centres float64 (n,) in pixels from the top.
        side: Sides of the boxes float64 (n,) in pixels.
        colour: Places of the bodies' colours in ``COLOURS``, int64 (n,).
        shape: Places of their shapes in ``SHAPES``, int64 (n,).
        ink: Places of the marks' colours in ``COLOURS``, int64 (n,).
        glyph: Places of the marks' forms in ``GLYPHS``, int64 (n,).
    """

    image_size: int
    num_named: int
    background: int
    x: np.ndarray
    y: np.ndarray
    side: np.ndarray
    colour: np.ndarray
    shape: np.ndarray
    ink: np.ndarray
    glyph: np.ndarray

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.x)

    def name(self, place: int) -> str:
        """Return ``COLOUR SHAPE`` of an object; of the first ``num_named`` it fits no other one of the scene."""
        return f"{_COLOURS[self.colour[place]]} {SHAPES[self.shape[place]]}"

    def ink_name(self, place: int) -> str:
        """Return the word for the colour of an object's mark."""
        return _COLOURS[self.ink[place]]

    def glyph_name(self, place: int) -> str:
        """Return the word for the form of an object's mark."""
        return GLYPHS[self.glyph[place]]

    @property
    def background_name(self) -> str:
        """The word for the tint of the background."""
        return _BACKGROUNDS[self.background]

    def boxes(self) -> np.ndarray:
        """Return the boxes (n, 4) as x, y, width and height in pixels; a body touches all four sides of its box."""
        return np.stack([self.x - self.side / 2, self.y - self.side / 2, self.side, self.side], axis=1)


_COLOURS, _BACKGROUNDS = tuple(COLOURS), tuple(BACKGROUNDS)


def sample_scene(settings: NeedleSettings, rng: np.random.Generator) -> NeedleScene:
    """Draw a scene: number, names, marks, background and places are all independent of one another.

    The pairs of colour and shape of named objects are drawn without repetition, all equally likely; repeated objects
    share the pairs that are left, each of those that they use as often as any other or once more. A glyph is any of the
    eight. An ink is any of the seven colours other than the body's: who knows the name alone is right in 1 of 7 cases,
    and not of 8.
    """
    named = int(rng.integers(settings.num_objects[0], settings.num_objects[1] + 1))
    colour, shape = np.divmod(_draw_names(named, settings.num_repeated, rng), len(SHAPES))
    count = len(colour)
    ink = (colour + rng.integers(1, len(COLOURS), count)) % len(COLOURS)
    if settings.ink == "contrast":
        ink = _CONTRASTING[colour]
    glyph = rng.integers(0, len(GLYPHS), count)
    background = int(rng.integers(len(BACKGROUNDS)))
    spread = (settings.size_spread or 0.0) * settings.object_size
    sizes = rng.uniform(settings.object_size - spread, settings.object_size + spread, count)
    side = np.floor(sizes * (STEPS // 2)) / (STEPS // 2)
    x, y = (_on_lattice if settings.layout == "lattice" else _scattered)(settings, side, rng)
    return NeedleScene(settings.image_size, named, background, x, y, side, colour, shape, ink, glyph)


def _draw_names(named: int, repeated: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the pair of colour and shape of each object as one number (n,), named objects first."""
    names = rng.permutation(NUM_NAMES)
    if not repeated[1]:  # no further draw: scenes are then those from before there were repeated objects
        return names[:named]
    count = int(rng.integers(repeated[0], repeated[1] + 1))
    shared = names[named:][: count // 2]
    return np.concatenate([names[:named], shared[np.arange(count) % len(shared)]])


def _on_lattice(settings: NeedleSettings, side: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return centres in different cells, each moved within its cell."""
    assert settings.cells is not None, "the settings have filled it in"
    cell = settings.image_size / settings.cells
    row, column = np.divmod(rng.permutation(settings.cells**2)[: len(side)], settings.cells)
    room = (cell - side - GAP) * settings.jitter / 2
    x, y = (((column, row)[axis] + 0.5) * cell + rng.uniform(-1, 1, len(side)) * room for axis in range(2))
    return _on_steps(x), _on_steps(y)


def _scattered(settings: NeedleSettings, side: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return centres of boxes that do not touch; where one finds no place, all are placed again."""
    while True:
        x, y = np.empty(len(side)), np.empty(len(side))
        for i, own in enumerate(side):
            # (2, tries): candidates that keep the whole box in the picture.
            tried = _on_steps(rng.uniform(own / 2, settings.image_size - own / 2, (2, _PLACEMENT_TRIES)))
            apart = (side[:i] + own)[:, None] / 2 + GAP
            free = ((abs(tried[0] - x[:i, None]) >= apart) | (abs(tried[1] - y[:i, None]) >= apart)).all(axis=0)
            if not free.any():
                break
            x[i], y[i] = tried[:, free.argmax()]
        else:
            return x, y


def _on_steps(values: np.ndarray) -> np.ndarray:
    """Return the nearest points of the grid on which centres lie."""
    return np.rint(values * STEPS) / STEPS


_CONTRASTING = np.array(
    [_COLOURS.index("black" if np.dot(rgb, _LUMA) > _BRIGHT else "white") for rgb in COLOURS.values()]
)
