"""Several texts of an image in one sample: the image is loaded, transformed and encoded once for all of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.registry import FUNCTIONS
from torch.utils.data import Dataset

from bus_toolkit.data.datasets.bad_samples import BadSample, LoadingError
from bus_toolkit.data.datasets.base import SampleDataset, places_from
from bus_toolkit.data.datasets.one_picture import with_one_picture
from bus_toolkit.data.datasets.scene_task import SceneTask
from bus_toolkit.data.leaves import inside
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.data.transforms.crops import RandomCropKeepNamed
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS

_NAME = "TextsOfImage"


@DATASETS.register_module()
class TextsOfImage(Dataset):
    """One sample an image, with several of its texts, from a data set that has one sample a text.

    Questions, expressions or captions of one image (equal ``image_id``) are drawn together, so that a batch holds fewer
    images than texts and what reads no text is computed once an image. A sample is ``inputs``, one picture, and
    ``data_samples``, a list of Q; ``collate_texts_of_images`` makes a batch of them. Q different texts are drawn from
    NumPy's global generator, which a training seeds for each sample; an image with fewer has some of them repeatedly.

    Random changes of the picture are drawn once: pixels, boxes and words of all Q texts stay together, and a crop that
    keeps named objects whole keeps those of all texts. Rows of a ``RegionBatchSampler`` have Q texts, too, of those
    that name objects. Slot: ``dataset`` of a training's data loader, or of a source of ``MixedSources``. An evaluation
    reads every text once and takes the data set itself.

    Args:
        dataset: Config of the data set: one of ours that reads files, or ``SceneTask``.
        texts_per_image: Q, 1 or more.

    Raises:
        DataError: Q below 1; another kind of data set, one whose samples have no ``image_id``, or without a usable
            text; or a transform that decides by the words of a text what happens to the pixels.

    Attributes:
        rows: By image, the rows of its texts in the data set.
        boxed_indices: Images with boxes, for a ``RegionBatchSampler``.
    """

    def __init__(self, dataset: Mapping[str, Any], texts_per_image: int) -> None:
        if isinstance(texts_per_image, bool) or not isinstance(texts_per_image, int) or texts_per_image < 1:
            raise DataError(f"{_NAME}.texts_per_image: must be a whole number of 1 or more, got {texts_per_image!r}.")
        self.texts_per_image = texts_per_image
        self.dataset = DATASETS.build(dict(dataset))
        self._reader = _reader_of(self.dataset)
        _refuse_deciding_by_words(self._reader)
        self.rows = list(_rows_by_image(self._reader).values())
        boxed = set(self._reader.boxed_indices)
        self._boxed = {
            number: own for number, rows in enumerate(self.rows) if (own := [row for row in rows if row in boxed])
        }
        self.boxed_indices = list(self._boxed)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image's ``inputs`` and Q ``data_samples``.

        Raises:
            TooManyBadSamples: As the data set; an image that cannot be used counts as its first text.
        """
        region_only = isinstance(index, RegionRow)
        by_image = self._boxed if region_only else self.rows
        for number in places_from(int(index), len(self.rows)):
            if region_only and number not in self._boxed:
                continue
            rows = self._drawn(by_image[number])
            try:
                infos = [self._reader.checked_info(row, region_only=region_only) for row in rows]
                return with_one_picture(self._reader, infos)._asdict()
            except BadSample as error:
                self._reader.bad.add(self.rows[number][0], error)
        raise self._reader.bad.nothing_left()

    def _drawn(self, rows: Sequence[int]) -> list[int]:
        """Return Q of the rows of an image: each once as far as they go, then some again."""
        order = np.random.permutation(len(rows))[: self.texts_per_image]
        missing = self.texts_per_image - len(order)
        return [rows[place] for place in (*order, *np.random.randint(len(rows), size=missing))]


@FUNCTIONS.register_module()
def collate_texts_of_images(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch of B_i images with Q texts each, the texts of an image next to each other.

    Slot: ``collate_fn`` of a data loader of ``TextsOfImage``.

    Args:
        items: ``inputs`` (3, H, W), all of one size, and a list of Q ``data_samples``.

    Returns:
        ``inputs`` (B_i, 3, H, W), and a list of B_i * Q ``data_samples``.

    Raises:
        LoadingError: An item has one sample, no list, or another number of texts than the others.
    """
    counts = [_count(item["data_samples"]) for item in items]
    if len(set(counts)) > 1:
        raise LoadingError(
            f"collate_texts_of_images: images of one batch must have the same number of texts, got {min(counts)} and "
            f"{max(counts)}. Give all sources one texts_per_image."
        )
    images = torch.stack([item["inputs"] for item in items])
    return {"inputs": images, "data_samples": [sample for item in items for sample in item["data_samples"]]}


def texts_an_item(dataset: Any) -> int:
    """Return how many texts an item of a data set has: Q of ``TextsOfImage``, else 1; wrappers are opened."""
    if isinstance(dataset, TextsOfImage):
        return dataset.texts_per_image
    return max(map(texts_an_item, inside(dataset)), default=1)


def texts_of(data_samples: Any) -> list[Any]:
    """Return the data samples of an item: the one, or those of all texts of an image."""
    return data_samples if isinstance(data_samples, list) else [data_samples]


def _count(samples: Any) -> int:
    if not isinstance(samples, list) or not samples:
        raise LoadingError(
            "collate_texts_of_images: each item must have a list of texts, got a single data sample. Use a data set of "
            "type TextsOfImage, or collate_fn: {type: default_collate}."
        )
    return len(samples)


def _reader_of(dataset: Any) -> SampleDataset:
    reader = dataset.dataset if isinstance(dataset, SceneTask) else dataset
    if isinstance(reader, ShardDataset):
        raise DataError(
            f"{_NAME}.dataset: shards are read in sequence, and the texts of an image may lie anywhere in them, got a "
            "ShardDataset. Give a data set of files."
        )
    if not isinstance(reader, SampleDataset):
        raise DataError(
            f"{_NAME}.dataset: must be a SampleDataset, whose samples have one text each, or a SceneTask of one, got "
            f"{type(reader).__name__}. Name the data set inside it; MixedSources takes {_NAME} as its sources."
        )
    return reader


def _refuse_deciding_by_words(reader: SampleDataset) -> None:
    for place, transform in enumerate(reader.pipeline):
        if isinstance(transform, RandomCropKeepNamed) and transform.unless_words:
            raise DataError(
                f"{type(reader).__name__}.pipeline.{place}: {type(transform).__name__} would decide by the words of "
                "one text what happens to the picture of several, got unless_words. Leave unless_words out."
            )


def _rows_by_image(reader: SampleDataset) -> dict[Hashable, list[int]]:
    """Return the rows with a usable text by the id of their image; others count as bad samples."""
    images: dict[Hashable, list[int]] = {}
    for row in range(len(reader)):
        try:
            info = reader.checked_info(row)
        except BadSample as error:
            reader.bad.add(row, error)
            continue
        if info.get("image_id") is None:
            raise DataError(
                f"{_NAME}.dataset: samples must have an image_id, equal for the texts of one image, got "
                f"{type(reader).__name__} with a sample without ({info['img_path']}). Let its get_data_info set it."
            )
        images.setdefault(info["image_id"], []).append(row)
    if not images:
        raise DataError(f"{_NAME}.dataset: {type(reader).__name__} has no row with a usable text. Check its files.")
    return images
