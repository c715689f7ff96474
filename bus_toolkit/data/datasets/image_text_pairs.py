"""Plain image-text pairs from a table or a JSON file."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.pairs import PairRecord, part_of, read_pairs
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import SampleDataset, blank_caption, image_folder
from bus_toolkit.home import expand_home
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class ImageTextPairs(SampleDataset):
    """Read image-text pairs of a CSV, TSV, JSON or JSON-lines file; one sample a caption.

    Before the pipeline a sample has ``img_path``, ``text``, ``image_id`` and ``text_id``. Rows whose paths mean the
    same file have one ``image_id``, so that retrieval counts each of their captions as right; ``text_id`` is the number
    of the caption. A row without an image, without words, or that is there twice is a bad sample. Slot:
    ``dataset`` of a data loader.

    Args:
        ann_file: ``.csv`` or ``.tsv`` with a header (columns separated by commas, tabs or semicolons), ``.json`` with
            a list of records, ``.jsonl``; in UTF-8. In JSON a record may have a list of captions.
        img_dir: Folder of the images; paths in the file are below it, or absolute, or start with ``~``.
        image_key: Column of the image; ``None`` for ``image``, ``file``, ``filename``, ``filepath`` or ``img_path``.
        text_key: Column of the caption; ``None`` for ``caption``, ``text`` or ``title``.
        pipeline: Transforms; the last one packs.
        max_bad_samples: So many bad rows and unreadable images are skipped before the run stops; 0 for evaluation,
            where none may be missing.
        split: ``train`` or ``val``: the images of that part alone; ``None`` for all. The parts share no image, and stay
            the same whatever the order of the rows.
        val_share: Share of the images in ``val``, between 0 and 1; at least one image is.
        quoting: What quotes mean in a table: ``csv``, a field may be in them; ``none``, they are text. ``None`` is
            ``csv``, and refuses quotes that seem to be text.

    Raises:
        DataError: The file is missing, malformed or not UTF-8, has no such column, or has no pair; or it cannot be
            split.
    """

    def __init__(
        self,
        ann_file: str,
        img_dir: str = "",
        *,
        image_key: str | None = None,
        text_key: str | None = None,
        pipeline: Sequence[Mapping[str, Any]] = (),
        max_bad_samples: int = 10,
        split: Literal["train", "val"] | None = None,
        val_share: float = 0.2,
        quoting: Literal["csv", "none"] | None = None,
    ) -> None:
        self.ann_file = expand_home(ann_file)
        self.img_dir = image_folder(img_dir, f"{type(self).__name__}.img_dir")
        name = type(self).__name__
        self._records = read_pairs(self.ann_file, image_key, text_key, f"{name}.ann_file", quoting)
        if split is not None:
            self._records = part_of(self._records, split, val_share, name, self.img_dir)
        self._images: dict[str, int] = {}
        self._first: dict[tuple[int, str], int] = {}
        self._image_ids = [self._number(row, record) for row, record in enumerate(self._records)]
        super().__init__(pipeline, size=len(self._records), max_bad_samples=max_bad_samples)

    @property
    def image_paths(self) -> Collection[str]:
        """The absolute path of each image once."""
        return self._images.keys()

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline.

        Raises:
            BadSample: The row cannot be used.
        """
        record, image_id = self._records[int(index)], self._image_ids[int(index)]
        entry = f"{self.ann_file}, {record.place}"
        if image_id < 0:
            raise BadSample(entry, f"the image must be a path, got {record.image!r}")
        if not isinstance(record.text, str):
            raise BadSample(entry, f"the caption is not text, got {record.text!r}")
        if is_blank(record.text):
            raise BadSample(entry, blank_caption(record.text))
        first = self._first[image_id, record.text]
        if first != index:
            raise BadSample(entry, f"the same image and caption as {self._records[first].place}")
        return {
            "img_path": str(self._path(record)),
            "text": record.text,
            "image_id": image_id,
            "text_id": int(index),
        }

    def _path(self, record: PairRecord) -> Path:
        return Path(os.path.normpath(self.img_dir / os.path.expanduser(str(record.image))))

    def _number(self, row: int, record: PairRecord) -> int:
        """Return the number of a record's image, -1 where it has none, and note the first place of the pair."""
        if not isinstance(record.image, str) or not record.image.strip():
            return -1
        number = self._images.setdefault(os.path.abspath(self._path(record)), len(self._images))
        if isinstance(record.text, str):
            self._first.setdefault((number, record.text), row)
        return number
