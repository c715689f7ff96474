"""Annotation files in COCO's form of any size, made up: for measuring what reading them costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

_WORDS = "a the red small dog cat sits runs under over green table tree with of man woman ball street near".split()
_AT_A_TIME = 100_000


@dataclass(frozen=True)
class CaptionFiles:
    """Paths of made-up files; two boxes an image, of which each caption names one."""

    captions: Path
    instances: Path
    regions: Path


def write_captions(folder: Path, captions: int, *, per_image: int = 5, seed: int = 0) -> CaptionFiles:
    """Write captions of about ten words, boxes and regions, piece by piece.

    Args:
        folder: Where; made if it is missing.
        captions: How many, 1 or more.
        per_image: Captions of an image, next to each other.
        seed: Of the words and boxes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = -(-captions // per_image)
    rng = np.random.default_rng(seed)
    files = CaptionFiles(*(folder / f"{name}.json" for name in ("captions", "instances", "regions")))
    with _opened(files.captions) as out:
        out.write('{"images": ')
        _write_list(out, ({"id": 7 * n, "coco_url": f"images/{n:09d}.jpg"} for n in range(images)))
        out.write(', "annotations": ')
        _write_list(out, _captions(rng, captions, per_image))
        out.write("}")
    with _opened(files.instances) as out:
        out.write('{"annotations": ')
        _write_list(out, _boxes(rng, images))
        out.write("}")
    with _opened(files.regions) as out:
        out.write("{")
        for n in range(captions):
            out.write(f'{", " if n else ""}"{3 * n}": [{2 * (n // per_image) + n % 2}]')
        out.write("}")
    return files


def _captions(rng: np.random.Generator, count: int, per_image: int) -> Iterator[dict[str, Any]]:
    for start in range(0, count, _AT_A_TIME):
        chosen = rng.integers(len(_WORDS), size=(min(_AT_A_TIME, count - start), 10)).tolist()
        for number, words in enumerate(chosen, start=start):
            text = " ".join([_WORDS[word] for word in words])
            yield {"image_id": 7 * (number // per_image), "id": 3 * number, "caption": f"{text} {number}."}


def _boxes(rng: np.random.Generator, images: int) -> Iterator[dict[str, Any]]:
    for start in range(0, images, _AT_A_TIME):
        corners = rng.integers(1, 100, size=(min(_AT_A_TIME, images - start), 2, 4)).tolist()
        for number, pair in enumerate(corners, start=start):
            for place, box in enumerate(pair):
                yield {"id": 2 * number + place, "image_id": 7 * number, "bbox": box, "category_id": 1, "iscrowd": 0}


def _write_list(out: TextIO, entries: Iterator[dict[str, Any]]) -> None:
    out.write("[")
    for number, entry in enumerate(entries):
        out.write((", " if number else "") + json.dumps(entry))
    out.write("]")


def _opened(path: Path) -> TextIO:
    return open(path, "w", encoding="utf-8", buffering=1 << 20)
