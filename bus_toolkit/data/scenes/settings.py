"""The possible content of a generated scene, and the words for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from typing_extensions import override

from bus_toolkit.data.scenes.generator_settings import GeneratorSettings

# Each relation is one word, so that no other word of the caption gives its axis away: in "left of" the "of" would.
RELATIONS = ("left-of", "right-of", "above", "below")

# Mean colours, red green blue in 0-255; the drawing varies them a little.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "green": (34, 160, 60),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 40),
    "purple": (150, 40, 190),
    "cyan": (50, 210, 220),
    "white": (245, 245, 245),
    "black": (18, 18, 18),
    "orange": (240, 130, 20),
    "pink": (245, 140, 190),
}

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")

# Lengths below are given in pixels of a picture this wide and grow with it.
REFERENCE_SIZE = 64


@dataclass(frozen=True)
class SceneSettings(GeneratorSettings):
    """Difficulty of the scenes; the defaults are the easy variant.

    Args:
        image_size: Side of the square picture in pixels.
        num_objects: Fewest and most objects of a scene, 2 to 8.
        shapes: Some of ``SHAPES``.
        colours: Some of ``COLOURS``.
        radii: Size word to radius, in pixels of a picture 64 wide; larger pictures scale it.
        captions_per_image: At most so many captions a training image, each of another ordered pair; test images have
            one.
        noise: Standard deviation of the pixel noise, in grey levels of 0-255.
        clutter: Most thin lines drawn after the objects.
        image_format: ``jpg`` (a fifth of the size) or ``png``.
        seed: Seed of all splits; splits never share a random stream.

    Raises:
        ConfigError: A value outside its range; all problems at once.
    """

    image_size: int = 64
    num_objects: tuple[int, int] = (2, 4)
    shapes: tuple[str, ...] = SHAPES[:4]
    colours: tuple[str, ...] = tuple(COLOURS)[:8]
    radii: Mapping[str, float] = field(default_factory=lambda: {"small": 7.7, "large": 12.8})
    captions_per_image: int = 4
    noise: float = 6.0
    clutter: int = 6
    image_format: str = "jpg"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_objects", "shapes", "colours"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "radii", {str(k): float(v) for k, v in self.radii.items()})
        self.check()

    @override
    def _problems(self) -> Iterator[str]:
        if not 32 <= self.image_size <= 1024:
            yield f"image_size: must be between 32 and 1024 pixels, got {self.image_size}."
        if len(self.num_objects) != 2 or not 2 <= self.num_objects[0] <= self.num_objects[1] <= 8:
            yield f"num_objects: must be [fewest, most] with 2 <= fewest <= most <= 8, got {self.num_objects}."
        for name, known in (("shapes", SHAPES), ("colours", tuple(COLOURS))):
            chosen = getattr(self, name)
            if not chosen or set(chosen) - set(known) or len(set(chosen)) < len(chosen):
                yield f"{name}: must be some of {', '.join(known)}, each once, got {list(chosen)}."
        if not self.radii or not all(3.0 <= r <= 20.0 for r in self.radii.values()):
            yield f"radii: each size word needs a radius of 3 to 20 pixels, got {dict(self.radii)}."
        if self.captions_per_image < 1:
            yield f"captions_per_image: must be at least 1, got {self.captions_per_image}."
        if not 0 <= self.noise <= 60 or not 0 <= self.clutter <= 50:
            yield f"noise, clutter: must be 0 to 60 and 0 to 50, got {self.noise} and {self.clutter}."
        if self.image_format not in ("png", "jpg"):
            yield f"image_format: must be png or jpg, got {self.image_format!r}."

    @override
    def words(self) -> dict[str, list[str]]:
        return {
            "colour": list(self.colours),
            "shape": list(self.shapes),
            "size": list(self.radii),
            "relation": list(RELATIONS),
        }
