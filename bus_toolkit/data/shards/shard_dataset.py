"""Image-caption pairs in tar shards as a data set with random access."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.shards.index_files import load_indices
from bus_toolkit.data.shards.remote_shards import fetch_shards
from bus_toolkit.data.shards.shard_paths import find_shards
from bus_toolkit.data.shards.shard_reader import ShardReader
from bus_toolkit.data.shards.tar_index import kinds_text
from bus_toolkit.data.transforms.blind import refuse_blind_transforms
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS
from bus_toolkit.safe_text import one_line

_log = logging.getLogger(__name__)


@DATASETS.register_module()
class ShardDataset(SampleDataset):
    """Read shards in webdataset's tar format through byte-offset indices, so that any sampler works and none is lost.

    Shards are indexed on first use; a process holds the indices of the shards that it reads from. Before the pipeline a
    sample has ``img_bytes``, ``img_path`` (``<shard>::<member>``, for messages), ``text``, ``image_id``, ``text_id``
    and, where its JSON has boxes, ``gt_bboxes`` float32 (n, 4), corners in pixels, and ``named`` bool (n,). The form of
    the JSON is described in ``annotation.py``. Slot: ``dataset`` of a data loader; ``ShardShuffleSampler`` reads it
    nearly in sequence.

    Args:
        shards: Paths, globs or brace patterns, e.g. ``data/train-{000000..000099}.tar``; or addresses of a server
            (``https://server/{000..099}.tar``), which are copied into ``cache_dir`` first.
        pipeline: Transforms; the first is ``LoadImageFromBytes``, the last one packs.
        with_boxes: Attach boxes; without them the pipeline may move pixels as it likes.
        index_dir: Folder for the index files; ``None`` for beside each shard.
        cache_dir: Folder for copies of remote shards, with room for all of them.
        max_bad_samples: So many unreadable samples are skipped before the run stops, and so many members may belong to
            no sample (an image without text, a second image of one key, a name with a dot before its suffix); 0 for
            evaluation, where none may be missing.

    Raises:
        DataError: Shards that are missing, cut off or no tars, no sample, too many members left out, or a transform
            that reads files or would tear pixels, boxes and words apart.

    Attributes:
        shard_sizes: Samples of each shard; int64, in the order of their numbers.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        pipeline: Sequence[Mapping[str, Any]] = (),
        *,
        with_boxes: bool = True,
        index_dir: str | None = None,
        cache_dir: str | None = None,
        max_bad_samples: int = 10,
    ) -> None:
        name = type(self).__name__
        _refuse_file_readers(pipeline, name)
        paths = find_shards(fetch_shards(shards, cache_dir, f"{name}.shards"), f"{name}.shards")
        indices = load_indices(paths, index_dir)
        self.reader = ShardReader(indices)
        summaries = indices.summaries
        num_left_out = sum(summary.num_left_out for summary in summaries)
        left_out = [
            one_line(f"{path}::{member}: {reason}")
            for path, summary in zip(paths, summaries, strict=True)
            for member, reason in summary.left_out
        ]
        if not len(self.reader):
            first = f" The first of {num_left_out} members that are no sample: {left_out[0]}." if left_out else ""
            raise DataError(
                f"{name}.shards: {len(paths)} shards without a sample, e.g. {paths[0]}.{first} A sample is an image "
                "(.jpg, .jpeg, .png, .webp) and a .txt or .json of the same name. Write the shards with `bus-toolkit "
                "shards`."
            )
        self.with_boxes = with_boxes
        if with_boxes and self.reader.has_boxes:
            refuse_blind_transforms(pipeline, name, "set with_boxes to false")
        super().__init__(pipeline, size=len(self.reader), max_bad_samples=max_bad_samples)
        self._report_left_out(left_out, num_left_out, max_bad_samples)
        empty = [path for path, summary in zip(paths, summaries, strict=True) if not summary.samples]
        if empty:
            _log.warning("%s: %d of %d shards have no sample, e.g. %s.", name, len(empty), len(paths), empty[0])
        if passed_over := sum((Counter(summary.passed_over) for summary in summaries), Counter()):
            _log.info("%s: members of other kinds are passed over: %s.", name, kinds_text(passed_over))
        self.shard_sizes = self.reader.shard_sizes

    @property
    def boxed_indices(self) -> np.ndarray:  # type: ignore[override]
        """Rows with boxes, for a ``RegionBatchSampler``; int64."""
        return self.reader.boxed_rows() if self.with_boxes else np.zeros(0, np.int64)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline.

        Raises:
            BadSample: It cannot be read.
        """
        info = self.reader.read(int(index))
        if not self.with_boxes:
            info.pop("gt_bboxes", None)
            info.pop("named", None)
        return info

    @staticmethod
    def _report_left_out(left_out: list[str], count: int, limit: int) -> None:
        if not count:
            return
        report = f"{count} members belong to no sample; the first ones: {'; '.join(left_out[:3])}."
        if count > limit:
            raise DataError(
                f"ShardDataset: {report} The limit is {limit}. Write the shards again, or raise max_bad_samples; "
                "`bus-toolkit shards --verify` lists all."
            )
        _log.warning("ShardDataset: %s They are left out.", report)


def _refuse_file_readers(pipeline: Sequence[Mapping[str, Any]], name: str) -> None:
    for place, transform in enumerate(pipeline):
        kind = str(transform.get("type")).rsplit(".", 1)[-1] if isinstance(transform, Mapping) else ""
        if kind in ("LoadImage", "LoadImageFromFile"):
            raise DataError(
                f"{name}.pipeline.{place}: {kind} reads a file, but the images lie in shards. Use LoadImageFromBytes."
            )
