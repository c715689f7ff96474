"""How many samples each transform of a data set changes: pixels, boxes, words, named objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from bus_toolkit.data.datasets.seeded_samples import SeededSamples
from bus_toolkit.data.leaves import chosen_rows, leaves
from bus_toolkit.data.samplers.numbered import Draw
from bus_toolkit.draws import derived_seed
from bus_toolkit.registry import DATASETS, plain


@dataclass
class Changes:
    """What one transform did.

    Attributes:
        samples: It read so many.
        pixels: Of so many it changed pixels or size; of a sample without pixels before it, never.
        boxed: So many had boxes.
        boxes: Of so many it moved a box.
        words: Of so many it changed the text.
        lost: So many had a named object in view before, and none after it.
    """

    samples: int = 0
    pixels: int = 0
    boxed: int = 0
    boxes: int = 0
    words: int = 0
    lost: int = 0


def count_changes(node: Mapping[str, Any], *, num: int, seed: int = 0) -> dict[str, Changes]:
    """Read random samples of a data set and count what each transform changes, by its class name, in their order.

    The same seed reads the same samples with the same random numbers.

    Args:
        node: The ``dataset`` of a data loader.
        num: Number of samples; where there are fewer, all of them come again with other random numbers.
        seed: Seed of choice and transforms.

    Raises:
        DataError: The data cannot be read.
    """
    dataset = DATASETS.build(plain(node))
    counts: dict[str, Changes] = {}
    with _counted(dataset, counts):
        samples = SeededSamples(dataset)
        for first in range(0, num, max(len(dataset), 1)):
            for row in chosen_rows(len(dataset), num - first, seed):
                samples[Draw(row, derived_seed(seed, first, row))]
    return counts


def table_of(counts: Mapping[str, Changes]) -> str:
    """Return the counts as a table of text."""
    rows = [["transform", "samples", "pixels changed", "with boxes", "boxes moved", "words changed", "named lost"]]
    for name, c in counts.items():
        rows.append([name, *map(str, (c.samples, c.pixels, c.boxed, c.boxes, c.words, c.lost))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *line[1:]]) for row, line in zip(rows, lines, strict=True))


@contextmanager
def _counted(dataset: Any, counts: dict[str, Changes]) -> Iterator[None]:
    """Let every transform of every data set inside of ``dataset`` be counted for a while."""
    before = [(leaf, leaf.pipeline) for leaf in leaves(dataset) if hasattr(leaf, "pipeline")]
    for leaf, pipeline in before:
        leaf.pipeline = [_Counted(transform, counts) for transform in pipeline]
    try:
        yield
    finally:
        for leaf, pipeline in before:
            leaf.pipeline = pipeline


class _Counted:
    """A transform that keeps count of what it changes."""

    def __init__(self, transform: Any, counts: dict[str, Changes]) -> None:
        self.transform = transform
        self.changes = counts.setdefault(type(transform).__name__, Changes())

    def __call__(self, results: dict[str, Any]) -> Any:
        image, boxes, text = _pixels(results), results.get("gt_bboxes"), results.get("text")
        before = None if image is None else [part.copy() for part in image]
        boxes = None if boxes is None else np.array(boxes)
        had_named = _sees_named(results)
        results = self.transform(results)
        self.changes.samples += 1
        if results is None:
            return results
        self.changes.boxed += boxes is not None
        if "data_samples" in results:
            self.changes.lost += had_named and "gt_boxes" not in results["data_samples"]
            return results
        after = _pixels(results)
        self.changes.pixels += before is not None and not _alike(before, after)
        self.changes.boxes += boxes is not None and not _alike([boxes], [results["gt_bboxes"]])
        self.changes.words += text != results.get("text")
        self.changes.lost += had_named and not _sees_named(results)
        return results


def _pixels(results: Mapping[str, Any]) -> list[np.ndarray] | None:
    image = results.get("img")
    return None if image is None else list(image) if isinstance(image, list | tuple) else [image]


def _alike(before: Sequence[np.ndarray], after: Sequence[np.ndarray] | None) -> bool:
    return after is not None and len(before) == len(after) and all(map(np.array_equal, before, after))


def _sees_named(results: Mapping[str, Any]) -> bool:
    """Return whether a part of a named object lies in the image."""
    boxes, named = results.get("gt_bboxes"), results.get("named")
    image = _pixels(results)
    if boxes is None or named is None or image is None:
        return False
    height, width = image[0].shape[:2]
    inside = np.clip(boxes[named], 0, [width, height, width, height])
    return bool(((inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])).any())
