"""Samples of indexed shards by number."""

from __future__ import annotations

from tarfile import BLOCKSIZE
from typing import Any

import numpy as np

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.shards.annotation import ID_LIMIT, parse_annotation
from bus_toolkit.data.shards.shard_files import ShardFiles
from bus_toolkit.data.shards.shard_indices import ShardIndices
from bus_toolkit.data.shards.tar_members import is_header_of
from bus_toolkit.errors import DataError
from bus_toolkit.limits import MEMBER_BYTES


class ShardReader:
    """Random access to the N samples of shards, numbered through from the first shard to the last.

    Args:
        indices: The shards and their indices.

    Attributes:
        shard_sizes: Samples of each shard; int64.
    """

    def __init__(self, indices: ShardIndices) -> None:
        summaries = indices.summaries
        self.shard_sizes = np.array([summary.samples for summary in summaries], dtype=np.int64)
        self._indices = indices
        self._ends = np.cumsum(self.shard_sizes)
        self._files = ShardFiles(indices.paths, [summary.stamp for summary in summaries])

    @property
    def has_boxes(self) -> bool:
        """Whether a sample has boxes."""
        return any(summary.boxed for summary in self._indices.summaries)

    def boxed_rows(self) -> np.ndarray:
        """Return the numbers of the samples with boxes, ascending; int64."""
        starts = self._ends - self.shard_sizes
        rows = [one.boxed_rows() + start for one, start in zip(self._indices.summaries, starts, strict=True)]
        return np.concatenate(rows).astype(np.int64)

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self._ends[-1])

    def read(self, number: int) -> dict[str, Any]:
        """Return a sample.

        It has ``img_bytes``, ``img_path`` (``<shard>::<member>``), ``text``, ``image_id``, ``text_id``, and where
        there are boxes ``gt_bboxes`` float32 (n, 4), corners in pixels, and ``named`` bool (n,). A sample whose JSON
        gives no ``image_id`` gets a number of its own, above all those that a JSON may give.

        Raises:
            BadSample: It cannot be read; its path names shard and member.
            DataError: The shard is not the one that was indexed.
        """
        shard = int(np.searchsorted(self._ends, number, side="right"))
        row = number - int(self._ends[shard] - self.shard_sizes[shard])
        index = self._indices[shard]
        key = index.key(row)
        sample: dict[str, Any] = {
            "img_path": f"{self._files.paths[shard]}::{index.name(row)}",
            "text": None,
            "image_id": ID_LIMIT + number,
            "text_id": number,
        }
        try:
            sample["img_bytes"] = self._member(shard, key, *index.image[row].tolist())
            if index.json[row, 0] >= 0:
                _add_annotation(sample, self._text(shard, key, *index.json[row].tolist()))
            if index.text[row, 0] >= 0:
                sample["text"] = self._text(shard, key, *index.text[row].tolist()).decode("utf-8-sig").strip()
        except (OSError, ValueError) as error:
            raise BadSample(sample["img_path"], str(error)) from error
        return sample

    def _text(self, shard: int, key: str, offset: int, size: int) -> bytes:
        """Return the content of a ``.txt`` or ``.json`` member."""
        if size > MEMBER_BYTES.value:
            raise ValueError(f"a text member has {size} bytes, allowed are {MEMBER_BYTES.value}. {MEMBER_BYTES.advice}")
        return self._member(shard, key, offset, size)

    def _member(self, shard: int, key: str, offset: int, size: int) -> bytes:
        """Return the content of a member, whose header shows that the index still means this file."""
        data = self._files.read(shard, offset - BLOCKSIZE, BLOCKSIZE + size)
        if not is_header_of(data[:BLOCKSIZE], key, size):
            raise DataError(
                f"{self._files.paths[shard]}: at byte {offset} must be a member of {key!r} with {size} bytes, and none "
                "is: the index is of another shard. Remove it (.index.npz) and start again."
            )
        return data[BLOCKSIZE:]


def _add_annotation(sample: dict[str, Any], content: bytes) -> None:
    annotation = parse_annotation(content)
    sample["text"] = annotation.caption
    if annotation.image_id is not None:
        sample["image_id"] = annotation.image_id
    if len(annotation.boxes):
        sample.update(gt_bboxes=annotation.boxes, named=annotation.named)
        if annotation.size is not None:
            sample["stated_size"] = annotation.size
