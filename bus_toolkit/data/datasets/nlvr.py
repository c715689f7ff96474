"""NLVR (Suhr et al., ACL 2017): is a human sentence true of a synthetic image?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.registry import DATASETS
from bus_toolkit.text_files import read_utf8, split_lines

# Left edges in pixels of the three grey boxes of a 400 x 100 image; the order of the boxes in image k.
_BOX_LEFT = (0, 150, 300)
_ORDERS = ((0, 1, 2), (0, 2, 1))
_LABELS = {"true": 1, "false": 0}
_COLOURS = {"yellow": "yellow", "black": "black", "blue": "#0099ff"}
_SHAPES = {"circle": "circle", "square": "square", "triangle": "triangle", "block": "square"}
_WORD = re.compile(r"[a-z]+")
_ADVICE = (
    "Get the corpus (https://github.com/lil-lab/nlvr, folder nlvr) and set data_root to the folder with test.json, "
    "hidden.json, dev.json and images/."
)


@DATASETS.register_module()
class NLVRDataset(SampleDataset):
    """Read sentences, truth values and object boxes of the original NLVR corpus.

    A sample has ``img_path``, ``text``, ``image_id``, ``text_id``, ``gt_label`` (1 = true), and where the sentence
    names objects by colour or shape ``gt_bboxes`` float32 (n, 4), all objects in pixels of the 400 x 100 image (y runs
    downward), and ``named``.
    Slot: ``dataset`` of a data loader.

    Args:
        data_root: Folder with ``<split>.json`` (one example a line) and
            ``images/<split>/<split>-<identifier>-<k>.png``.
        splits: Files to read, e.g. ``[test, hidden]`` for training and ``[dev]`` for evaluation.
        images_per_example: 1 or 2: orders of the three grey boxes that are used of each example.
        pipeline: Transforms; the last one packs.
        with_boxes: Attach boxes.
        max_bad_samples: So many unreadable samples are skipped before the run stops; 0 for evaluation, where none may
            be missing.

    Raises:
        DataError: A missing or malformed file, no split, or a wrong number of images an example.
    """

    def __init__(
        self,
        data_root: str,
        splits: Sequence[str],
        *,
        pipeline: Sequence[Mapping[str, Any]] = (),
        images_per_example: int = 1,
        with_boxes: bool = True,
        max_bad_samples: int = 10,
    ) -> None:
        if not splits:
            raise DataError("NLVRDataset.splits: needs at least one split, got none. Write e.g. [dev].")
        if images_per_example not in (1, 2):
            raise DataError(f"NLVRDataset.images_per_example: must be 1 or 2, got {images_per_example}.")
        self.root = expand_home(data_root)
        self.with_boxes = with_boxes
        self._rows = [
            (split, example, order)
            for split in splits
            for example in self._read(split)
            for order in range(images_per_example)
        ]
        super().__init__(pipeline, size=len(self._rows), max_bad_samples=max_bad_samples)
        self.boxed_indices = [i for i in range(len(self._rows)) if "named" in self.get_data_info(i)]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline."""
        split, example, order = self._rows[int(index)]
        name = f"{split}-{example['identifier']}-{order}.png"
        info = {
            "img_path": str(self.root / "images" / split / name),
            "text": example["sentence"],
            "image_id": int(index),
            "text_id": int(index),
            "gt_label": _LABELS[example["label"]],
        }
        if self.with_boxes:
            boxes, objects = _objects(example["structured_rep"], _ORDERS[order])
            named = named_objects(example["sentence"], objects)
            if named.any():
                info.update(gt_bboxes=boxes, named=named)
        return info

    def _read(self, split: str) -> list[dict[str, Any]]:
        path = self.root / f"{split}.json"
        content = read_utf8(path, "NLVRDataset", advice=_ADVICE)
        try:
            examples = [parse_json(line) for line in split_lines(content) if line.strip()]
            for example in examples:
                _objects(example["structured_rep"], _ORDERS[0])
                if example["label"] not in _LABELS or not isinstance(example["sentence"], str):
                    raise ValueError(f"label {example['label']!r} of {example['identifier']}")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"NLVRDataset: {path} is not in NLVR's format: {error}. Copy the file again.") from error
        if not examples:
            raise DataError(f"NLVRDataset: {path} has no examples. Copy the file again.")
        return examples


def _objects(
    boxes: Sequence[Sequence[Mapping[str, Any]]], order: Sequence[int]
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Return the boxes of all objects in pixels, float32 (n, 4), and their colour and type."""
    corners, words = [], []
    for left, place in zip(_BOX_LEFT, order, strict=True):
        for item in boxes[place]:
            x, y, size = left + item["x_loc"], item["y_loc"], item["size"]
            corners.append((x, y, x + size, y + size))
            words.append((str(item["color"]).lower(), str(item["type"]).lower()))
    # The reshape keeps two dimensions, (0, 4), for an image without objects.
    return np.array(corners, dtype=np.float32).reshape(-1, 4), words


def named_objects(sentence: str, objects: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return which objects have a colour and a shape that the sentence says, bool (n,).

    A sentence that says only colours, or only shapes, names all objects of them. Which colour belongs to which shape
    is not parsed: "a black circle and a yellow square" also names a black square.

    Args:
        sentence: A sentence in English.
        objects: Colour and type of each object as NLVR writes them, lower-cased.
    """
    words = {word.removesuffix("s") for word in _WORD.findall(sentence.lower())}
    colours = {value for word, value in _COLOURS.items() if word in words}
    shapes = {value for word, value in _SHAPES.items() if word in words}
    if not colours and not shapes:
        return np.zeros(len(objects), dtype=bool)
    return np.array([(not colours or c in colours) and (not shapes or s in shapes) for c, s in objects], dtype=bool)
