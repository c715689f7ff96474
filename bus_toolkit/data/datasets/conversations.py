"""Dialogs about images, for models that answer in words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bus_toolkit.data.annotations.conversations import IMAGE, read_conversations
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import SampleDataset, image_folder
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class Conversations(SampleDataset):
    """Read dialogs in the form of LLaVA's data (haotian-liu/LLaVA:docs/Finetune_Custom_Data.md); one sample a dialog.

    Before the pipeline a sample has ``img_path``, ``conversation`` (question and answer of each turn, the image's place
    marked by ``<image>``), ``text`` (its first question), ``image_id`` (the path in the file), ``text_id`` (the entry's
    id) and, where the last answer is there, ``gt_answer``, that answer alone. Entries without an image, with several,
    or whose messages are not question and answer in turn, are bad samples. Slot: ``dataset`` of a data loader, for a
    ``CausalVLM`` with a task of kind ``chat``.

    Args:
        ann_file: JSON, a list of entries with ``id``, ``image`` and ``conversations``.
        img_dir: Folder of the images; paths in the file are below it, or absolute, or start with ``~``.
        pipeline: Transforms; the last one packs.
        max_bad_samples: So many bad entries and unreadable images are skipped before the run stops; 0 for evaluation,
            where none may be missing.

    Raises:
        DataError: The file cannot be read or has another form, or there is no such folder.
    """

    def __init__(
        self,
        ann_file: str,
        img_dir: str = "",
        *,
        pipeline: Sequence[Mapping[str, Any]] = (),
        max_bad_samples: int = 10,
    ) -> None:
        name = type(self).__name__
        self.ann_file = ann_file
        self._folder = image_folder(img_dir, f"{name}.img_dir")
        self._entries = read_conversations(ann_file, f"{name}.ann_file")
        super().__init__(pipeline, size=len(self._entries), max_bad_samples=max_bad_samples)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline.

        Raises:
            BadSample: The entry cannot be used.
        """
        entry = self._entries[int(index)]
        if entry.problem:
            raise BadSample(f"{self.ann_file}, entry {int(index) + 1} ({entry.sample_id})", entry.problem)
        last = entry.turns[-1][1]
        return {
            "img_path": os.path.normpath(self._folder / os.path.expanduser(entry.image)),
            "text": entry.turns[0][0].replace(IMAGE, "").strip(),
            "conversation": list(entry.turns),
            "image_id": entry.image,
            "text_id": entry.sample_id,
            **({} if last is None else {"gt_answer": [last]}),
        }
