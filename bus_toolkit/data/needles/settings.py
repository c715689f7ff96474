"""What needle scenes contain, and the words for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from typing_extensions import override

from bus_toolkit.data.scenes.generator_settings import GeneratorSettings

# Mean colours, red green blue in 0-255, of bodies and inks: near the corners of the colour cube, so that any two differ
# clearly in one channel at least, in however few pixels they are drawn.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (228, 36, 36),
    "green": (28, 170, 52),
    "blue": (40, 70, 235),
    "yellow": (245, 228, 40),
    "purple": (200, 50, 215),
    "cyan": (50, 220, 228),
    "white": (248, 248, 248),
    "black": (14, 14, 14),
}

# Mean colours of the ground, darker than most objects and brighter than the black ones.
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "red": (134, 84, 78),
    "green": (78, 124, 84),
    "blue": (78, 92, 140),
    "yellow": (128, 122, 70),
    "purple": (116, 80, 132),
    "gray": (104, 104, 104),
}

SHAPES = ("circle", "square", "diamond", "cross")
GLYPHS = ("bar", "dash", "plus", "slash", "backslash", "times", "frame", "dot")

ANSWERS: tuple[str, ...] = (*dict.fromkeys([*COLOURS, *BACKGROUNDS]), *GLYPHS)
"""Every answer of every kind of question, in the order of the classes."""

NUM_NAMES = len(COLOURS) * len(SHAPES)
"""Pairs of a colour and a shape: so many objects of a scene can have a name of their own."""

Layout = Literal["lattice", "scattered"]
Ink = Literal["coloured", "contrast"]
QUESTION_KINDS = ("attribute", "glyph", "control")

# Pixels between the boxes of two objects: no pixel shows a part of both. On a lattice, where centres are rounded to the
# quarters of a pixel after they were placed, it may be a quarter less.
GAP = 1
# Boxes with their gaps fill at most this share of a scattered picture; placing one after the other gets stuck at about
# 56 % (the jamming limit of parallel squares in random sequential addition).
_MOST_FILLED = 0.4
_SCATTERED_SPREAD = 0.3
_MOST_REPEATED = 1000


@dataclass(frozen=True)
class NeedleSettings(GeneratorSettings):
    """Number, size and places of the objects, and how many texts there are; lengths are in pixels and stay so.

    Args:
        image_size: Side of the square picture.
        object_size: Side of an object's box, 5 to 40. It does not grow with the picture. Drawn sides are rounded down
            to half pixels.
        size_spread: Sides vary uniformly by at most this share of ``object_size``, 0 to 0.5; ``None`` for 0 on a
            lattice and 0.3 where objects are scattered.
        num_objects: Fewest and most objects that texts ask about; each has a name of its own, so 32 at most.
        num_repeated: Fewest and most further objects, of names that each occur twice or more, so that no text asks
            about them. None, or at least 2; they need a name that the others leave.
        layout: ``lattice``: one object in a cell of a regular grid, some cells stay empty. ``scattered``: at any free
            place, so that objects lie across the patches of a model in every way.
        cells: Cells a side of the lattice; ``None`` for the fewest that hold all objects.
        jitter: Share of the room in its cell that an object moves in, 0 to 1.
        ink: ``coloured``: any of the eight colours but that of the body. ``contrast``: black on light bodies, white on
            dark ones, so that glyphs are easy to read; the colour of a mark is then that of no question.
        questions_per_image: Number of questions by kind: ``attribute`` (the colour of a mark), ``glyph`` (its form) and
            ``control`` (the background, 0 or 1). Those of a kind ask for different objects.
        expressions_per_image: Number of referring expressions, each of another object.
        captions_per_image: Number of captions of a training image; images of evaluation have one.
        named_per_caption: Number of objects that a caption names.
        noise: Standard deviation of the pixel noise, in grey levels of 0-255.
        clutter: Most thin lines of the background.
        image_format: ``png``, or ``jpg`` (smaller, and blurs small objects).
        seed: Seed of all splits; splits never share a random stream.

    Raises:
        ConfigError: A value outside its range, or objects that have no room; all problems at once.
    """

    image_size: int = 112
    object_size: float = 8
    size_spread: float | None = None
    num_objects: tuple[int, int] = (26, 32)
    num_repeated: tuple[int, int] = (0, 0)
    layout: Layout = "lattice"
    cells: int | None = None
    jitter: float = 1.0
    ink: Ink = "coloured"
    questions_per_image: Mapping[str, int] = field(default_factory=lambda: {"attribute": 4, "glyph": 3, "control": 1})
    expressions_per_image: int = 4
    captions_per_image: int = 4
    named_per_caption: int = 2
    noise: float = 5.0
    clutter: int = 6
    image_format: str = "png"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_objects", "num_repeated"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.size_spread is None:
            object.__setattr__(self, "size_spread", _SCATTERED_SPREAD if self.layout == "scattered" else 0.0)
        self.check()
        if self.cells is None:
            object.__setattr__(self, "cells", self._fewest_cells())
        object.__setattr__(self, "questions_per_image", {kind: self.questions(kind) for kind in QUESTION_KINDS})

    def questions(self, kind: str) -> int:
        """Return the number of questions of a kind in a scene."""
        return self.questions_per_image.get(kind, 0)

    @property
    def largest_side(self) -> float:
        """The side of the largest object's box in pixels."""
        return self.object_size * (1 + (self.size_spread or 0.0))

    @override
    def words(self) -> dict[str, list[str]]:
        return {
            "colour": list(COLOURS),
            "shape": list(SHAPES),
            "glyph": list(GLYPHS),
            "background": list(BACKGROUNDS),
        }

    @override
    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        if self.num_repeated == (0, 0):  # folders from before this setting hold the same scenes
            del values["num_repeated"]
        return values

    @property
    def most_objects(self) -> int:
        """The number of objects of the fullest scene."""
        return self.num_objects[1] + self.num_repeated[1]

    def _fewest_cells(self) -> int:
        return math.isqrt(self.most_objects - 1) + 1

    @override
    def _problems(self) -> Iterator[str]:
        wrong = list(self._wrong_values())
        yield from wrong
        if not wrong:
            yield from self._wrong_together()

    def _wrong_values(self) -> Iterator[str]:
        ranges: dict[str, tuple[float, float]] = {
            "image_size": (32, 1024),
            "object_size": (5, 40),
            "size_spread": (0, 0.5),
            "jitter": (0, 1),
            "expressions_per_image": (1, NUM_NAMES),
            "captions_per_image": (1, 100),
            "named_per_caption": (1, NUM_NAMES),
            "noise": (0, 60),
            "clutter": (0, 50),
        }
        whole = ("image_size", "expressions_per_image", "captions_per_image", "named_per_caption", "clutter")
        for name, (least, most) in ranges.items():
            value, kind = getattr(self, name), int if name in whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
                yield f"{name}: must be a {'whole ' * (name in whole)}number from {least} to {most}, got {value!r}."
        for name, known in (("layout", get_args(Layout)), ("ink", get_args(Ink)), ("image_format", ("png", "jpg"))):
            if getattr(self, name) not in known:
                yield f"{name}: must be {' or '.join(known)}, got {getattr(self, name)!r}."
        if not _is_span(self.num_objects, 1, NUM_NAMES):
            yield (
                f"num_objects: must be [fewest, most] with 1 <= fewest <= most <= {NUM_NAMES} (names of one colour and "
                f"one shape), got {self.num_objects}."
            )
        if self.num_repeated != (0, 0) and not _is_span(self.num_repeated, 2, _MOST_REPEATED):
            yield (
                f"num_repeated: must be [0, 0], or [fewest, most] with 2 <= fewest <= most <= {_MOST_REPEATED}, got "
                f"{self.num_repeated}."
            )
        if self.cells is not None and (not _is_count(self.cells) or not 1 <= self.cells <= 64):
            yield f"cells: must be a whole number from 1 to 64, or null, got {self.cells!r}."
        asked = self.questions_per_image
        if not isinstance(asked, Mapping) or set(asked) - set(QUESTION_KINDS) or not any(asked.values()):
            yield f"questions_per_image: needs a number for some of {', '.join(QUESTION_KINDS)}, got {asked!r}."
        elif not all(_is_count(number) for number in asked.values()):
            yield f"questions_per_image: numbers must be whole and 0 or more, got {dict(asked)}."

    def _wrong_together(self) -> Iterator[str]:
        fewest = self.num_objects[0]
        if self.num_repeated[1] and self.num_objects[1] == NUM_NAMES:
            yield (
                f"num_repeated: they need a name that no other object has, and num_objects may take all {NUM_NAMES}, "
                f"got {self.num_objects}. Lower its second number."
            )
        for name, number in (
            *((f"questions_per_image.{kind}", self.questions(kind)) for kind in QUESTION_KINDS[:2]),
            ("expressions_per_image", self.expressions_per_image),
            ("named_per_caption", self.named_per_caption),
        ):
            if number > fewest:
                yield f"{name}: each is of another object, of which a scene may have {fewest}, got {number}."
        if self.questions("control") > 1:
            yield f"questions_per_image.control: there is one such question, got {self.questions('control')}."
        if self.ink == "contrast" and self.questions("attribute"):
            yield (
                "questions_per_image.attribute: with ink: contrast the name of an object gives the colour of its mark, "
                f"got {self.questions('attribute')}. Set it to 0, or ink: coloured."
            )
        side, picture, most = self.largest_side + GAP, self.image_size, self.most_objects
        counts = "num_repeated" if self.num_repeated[1] else "num_objects"
        if self.layout == "lattice":
            cells = self._fewest_cells() if self.cells is None else self.cells
            if cells**2 < most:
                yield f"cells: {cells} x {cells} cells cannot hold {most} objects. Raise cells, or lower {counts}."
            elif picture / cells < side:
                yield (
                    f"cells: {cells} a side of {picture} px are {picture / cells:.1f} px each, and an object with its "
                    f"gap takes {side:.1f}. Raise image_size, or lower cells, object_size or {counts}."
                )
        elif most * side**2 > _MOST_FILLED * picture**2:
            yield (
                f"{counts}: {most} objects of up to {self.largest_side:.1f} px fill more than {_MOST_FILLED:.0%} of "
                f"{picture} x {picture} px. Raise image_size, or lower {counts}, object_size or size_spread."
            )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_span(value: Any, least: int, most: int) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(map(_is_count, value))
        and least <= value[0] <= value[1] <= most
    )
