"""Which patches of an image are left after each stage, for a page: a picture with one overlay a stage."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bus_toolkit.visualization.html import shown
from bus_toolkit.visualization.kept_patches import PatchPicture

KEPT_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: 1rem; }
.card { margin: 0; min-width: 0; }
.card svg { display: block; width: 100%; height: auto; outline: 1px solid var(--line); }
.card figcaption { font-size: 0.875rem; overflow-wrap: anywhere; }
.stage { display: none; }
.stage.on { display: inline; }
.gone { fill: #0b0d12; fill-opacity: 0.8; }
.stages { position: sticky; top: 0; z-index: 1; padding: 0.5rem 0; background: var(--ground); display: flex;
  flex-wrap: wrap; gap: 0.25rem 1rem; align-items: center; }
.stages input { flex: 1 1 12rem; max-width: 30rem; min-width: 0; accent-color: var(--accent); }
.stages input:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
"""
KEPT_SCRIPT = """
for (const box of document.querySelectorAll(".kept")) {
  const slider = box.querySelector("input"), words = box.querySelector("output");
  const names = JSON.parse(slider.dataset.names);
  const show = () => {
    const at = Number(slider.value);
    for (const card of box.querySelectorAll(".card")) {
      const stages = Array.from(card.querySelectorAll(".stage"));
      stages.forEach((stage, place) => stage.classList.toggle("on", place === Math.min(at, stages.length - 1)));
    }
    words.textContent = names[at];
    slider.setAttribute("aria-valuetext", names[at]);
  };
  slider.addEventListener("input", show);
  box.querySelector(".stages").hidden = false;
  show();
}
"""


@dataclass(frozen=True)
class KeptStages:
    """An image, the text that its patches were chosen under, and which are left after each stage.

    Attributes:
        image: A JPEG or PNG as a ``data:`` address.
        size: Width and height of the image in pixels.
        text: Of others.
        grid: Rows and columns of patches.
        stages: Name of a stage and the numbers of the patches that are left, ascending; all patches first.
    """

    image: str
    size: tuple[int, int]
    text: str
    grid: tuple[int, int]
    stages: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of_picture(cls, picture: PatchPicture, masks: Sequence[tuple[str, np.ndarray]]) -> KeptStages:
        """Return them of a picture and of masks, bool (N,), after each stage; without any, of what was kept in all."""
        import cv2

        height, width = picture.image.shape[:2]
        encoded = cv2.imencode(".jpg", picture.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        named = [("all patches", np.ones_like(picture.kept)), *(masks or [("kept", picture.kept)])]
        return cls(
            f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}",
            (width, height),
            picture.caption,
            picture.grid,
            tuple((name, tuple(np.flatnonzero(mask).tolist())) for name, mask in named),
        )

    @classmethod
    def of_json(cls, entry: Mapping[str, Any]) -> KeptStages:
        """Return what ``asdict`` has made JSON of.

        Raises:
            ValueError, KeyError, TypeError, OverflowError: It is of another form, or its image is more than a picture.
        """
        image = str(entry["image"])
        kind, _, data = image.partition(",")
        if kind not in ("data:image/jpeg;base64", "data:image/png;base64"):
            raise ValueError("the image is not held in the file itself")
        base64.b64decode(data, validate=True)
        (width, height), (rows, columns) = map(int, entry["size"]), map(int, entry["grid"])
        if not (0 < rows * columns <= 1 << 16 and rows > 0 and width > 0 and height > 0):
            raise ValueError("sizes that no image has")
        stages = tuple((str(name), tuple(int(n) for n in kept)) for name, kept in entry["stages"])
        if not stages:
            raise ValueError("no stages")
        return cls(image, (width, height), str(entry["text"]), (rows, columns), stages)


def kept_section(samples: Sequence[KeptStages]) -> str:
    """Return the pictures of some samples, and a slider that shows one stage of all of them."""
    longest = max(samples, key=lambda sample: len(sample.stages))
    last = len(longest.stages) - 1
    words = [f"{name}: {_counts(samples, place)} patches" for place, (name, _) in enumerate(longest.stages)]
    names = shown(_json(words))
    slider = (
        f'<div class="stages" hidden><label for="stage">Stage</label><input id="stage" type="range" min="0" '
        f'max="{last}" value="{last}" step="1" data-names="{names}">'
        f'<output for="stage">{shown(words[-1])}</output></div>'
    )
    return f'<div class="kept">{slider}<div class="cards">{"".join(map(_card, samples))}</div></div>'


def _counts(samples: Sequence[KeptStages], place: int) -> str:
    """Return how many patches are left of all at a stage; selectors may keep another number in each image."""
    counts = [len(sample.stages[min(place, len(sample.stages) - 1)][1]) for sample in samples]
    sizes = {_count(sample) for sample in samples}
    left = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    return left if len(sizes) > 1 else f"{left} of {sizes.pop()}"


def _card(sample: KeptStages) -> str:
    width, height = sample.size
    groups = "".join(
        f'<path class="gone stage{" on" if place == len(sample.stages) - 1 else ""}" d="{_gone(sample, kept)}"/>'
        for place, (_, kept) in enumerate(sample.stages)
    )
    counts = ", ".join(f"{name} {len(kept)}" for name, kept in sample.stages)
    label = shown(f"Patches kept under the text: {sample.text or 'none'}. {counts}")
    return (
        f'<figure class="card"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f'<image href="{shown(sample.image)}" width="{width}" height="{height}"/>{groups}</svg>'
        f"<figcaption>{shown(sample.text) or '(no text)'}</figcaption></figure>"
    )


def _gone(sample: KeptStages, kept: Sequence[int]) -> str:
    """Return the outline of the patches that are gone; neighbours in a row are one rectangle."""
    (width, height), (rows, columns) = sample.size, sample.grid
    left = set(kept)
    parts = []
    for row in range(rows):
        column = 0
        while column < columns:
            start = column
            while column < columns and row * columns + column not in left:
                column += 1
            if column > start:
                x, y = start * width / columns, row * height / rows
                parts.append(f"M{x:.5g} {y:.5g}H{column * width / columns:.5g}v{height / rows:.5g}H{x:.5g}z")
            column += 1
    return "".join(parts)


def _count(sample: KeptStages) -> int:
    return sample.grid[0] * sample.grid[1]


def _json(value: Any) -> str:
    from bus_toolkit.json_text import dump_json

    return dump_json(value)
