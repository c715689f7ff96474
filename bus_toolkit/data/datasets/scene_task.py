"""Procedural scenes through the reader of any task; they write themselves on first use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import Dataset

from bus_toolkit.data.datasets.scene_dataset import prepare_once
from bus_toolkit.data.scenes.families import DEFAULT_FAMILY, family_of, parse_settings
from bus_toolkit.data.transforms.blind import refuse_mirrors
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class SceneTask(Dataset):
    """Write generated scenes below ``data_root`` if they are not there, then read them as a user's data are read.

    Beside captions and boxes (``SceneDataset``) a folder holds questions, referring expressions and, of the family
    ``scenes``, statements in the files of VQA v2, RefCOCO, NLVR2 and SNLI-VE. A folder of the family ``needles`` holds
    ``answers.txt`` as well, for ``AnswerLabel``. Slot: ``dataset`` of a data loader.

    Args:
        data_root: Folder of the scenes; made if missing.
        split: ``train``, ``val`` (for choices during development) or ``test``.
        num_images: Number of scenes.
        reader: Config of the data set that reads them; ``{folder}`` and ``{split}`` in its values are filled in.
        family: ``scenes``: a few large objects. ``needles``: many small ones, each with a mark to be read.
        scenes: What the scenes contain: the fields of ``bus_toolkit.data.scenes.settings.SceneSettings``, or of
            ``bus_toolkit.data.needles.settings.NeedleSettings``.

    Raises:
        ConfigError: A family or a scene setting that does not exist, or one that is out of range.
        DataError: A folder that cannot be written or is not ours, a transform that mirrors needle scenes, or all that
            the reader raises.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        num_images: int,
        reader: Mapping[str, Any],
        *,
        family: str = DEFAULT_FAMILY,
        scenes: Mapping[str, Any] | None = None,
    ) -> None:
        settings = parse_settings(family, scenes)
        if not family_of(settings).mirrors:
            refuse_mirrors(reader.get("pipeline", ()), "SceneTask.reader")
        folder = prepare_once(data_root, split, num_images, settings)
        self.words = settings.words()
        self.dataset = DATASETS.build(_filled(dict(reader), {"{folder}": str(folder), "{split}": split}))
        if not len(self.dataset):
            raise DataError(f"SceneTask.reader: {reader['type']} found nothing in {folder}. Check its files.")

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers."""
        return self.dataset.metainfo

    @property
    def boxed_indices(self) -> list[int]:
        """Rows with boxes, for a ``RegionBatchSampler``."""
        return self.dataset.boxed_indices

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline."""
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:  # whatever the pipeline packs
        """Return a sample through the pipeline of the reader."""
        return self.dataset[index]


def _filled(value: Any, words: Mapping[str, str]) -> Any:  # a node of a config
    """Return a config node with the words put in, in strings only; transforms may use other braces."""
    if isinstance(value, Mapping):
        return {key: _filled(part, words) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(part, words) for part in value]
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace(name, word)
    return value
