"""The rows of a batch: images, token ids and what their data samples say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import DataError
from bus_toolkit.ops.collective import own_rows, rank, world_size
from bus_toolkit.ops.gathered_rows import gather_rows
from bus_toolkit.ops.row_noise import noise_of_places, row_noise
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.step.image_ids import DATA_ROW, id_number
from bus_toolkit.step.prepared import boxes_of
from bus_toolkit.structures import Boxes, TokenBatch

SELECTING_TEXT = "selecting_text"
"""The field of a data sample with a text that selectors and a prior read in the place of its own."""


def texts_per_image(images: Tensor, samples: Sequence[Any]) -> int:
    """Return how many texts Q each image of a batch has, by their numbers.

    Args:
        images: (B / Q, 3, H, W); with one dimension more, the images of a text, Q is 1.
        samples: B data samples.

    Raises:
        DataError: B is no multiple of the images, or the texts that are one image's by their place have several ids.
    """
    count, rest = divmod(len(samples), max(1, len(images)))
    if rest or not count or (count > 1 and images.dim() == 5):
        several = " of several images each" if images.dim() == 5 else ", or the same number for each of them"
        raise DataError(
            f"data_samples: must be as many as the images{several}, {len(images)}, got {len(samples)}. Give each image "
            "its text; an image with several texts has them next to each other, and each as many as the others."
        )
    if count > 1:
        _refuse_other_images(samples, count)
    return count


def _refuse_other_images(samples: Sequence[Any], count: int) -> None:
    """Refuse rows that are the texts of one image by their number, and of several by their ids."""
    ids = [sample.get("image_id") for sample in samples]
    for start in range(0, len(ids), count):
        other = next((one for one in ids[start : start + count] if one != ids[start]), ids[start])
        if other != ids[start]:
            raise DataError(
                f"data_samples: {count} texts an image, those of image {start // count} of the batch must have one "
                f"image_id, got {ids[start]!r} and {other!r}. Put the texts of an image next to each other, or give an "
                "image for each text."
            )


class Batch:
    """The rows of a batch on this rank: a row is a text with its image.

    Rows that only serve patch-text supervision (``region_only``) come after the B caption rows; everything here but
    ``all_tokens`` and ``all_boxes`` leaves them out. An image may have several texts, the same number Q each: its rows
    are next to each other, and row b shows image ``b // Q``.

    Args:
        images: ((B + R) / Q, 3, H, W), normalised; those of R region rows last. Or (B, I, 3, H, W): I images a text.
        samples: The data samples of the B + R rows, each with a ``text``.
        tokenize: Texts to ids on the device.
        tokens: The ids of all rows, if they have been made already.
        iteration: The optimizer step, for ``noise``.
        seed: The run's seed, for ``noise``; ``None`` for torch's.

    Attributes:
        images: ((B + R) / Q, 3, H, W), or (B * I, 3, H, W) with the images of a text next to each other.
        num_images: I, images a text.
        num_texts: Q, texts an image; 1 where a text has several images.
        num_captions: B.
        tokens: The captions' ids (B, L).
        all_tokens: Those of all rows (B + R, L).

    Raises:
        DataError: Texts that are not as many for each image, or that belong to several images; region rows of several
            images, or beside captions of the same image.
    """

    def __init__(
        self,
        images: Tensor,
        samples: Sequence[Any],
        tokenize: Callable[[list[str]], TokenBatch],
        iteration: int = 0,
        *,
        tokens: TokenBatch | None = None,
        seed: int | None = None,
    ) -> None:
        self.num_images = images.shape[1] if images.dim() == 5 else 1
        self.num_texts = texts_per_image(images, samples)
        self.images = images.flatten(0, 1) if images.dim() == 5 else images  # (B, I, 3, H, W) -> (B * I, 3, H, W)
        self.samples = samples
        self._tokenize = tokenize
        self.iteration = iteration
        self.seed = seed
        self.num_captions = sum(not sample.get("region_only", False) for sample in samples)
        if self.num_images > 1 and self.num_captions < len(samples):
            raise DataError(
                f"region_only: rows for patch-text supervision have one image, got {self.num_images}. Set "
                "region_batch_size to 0 for a data set of several images a text."
            )
        if self.num_captions % self.num_texts:
            raise DataError(
                f"region_only: must be said of all {self.num_texts} texts of an image or of none, got an image with "
                "both. Read region rows by a data set of type TextsOfImage."
            )
        self.all_tokens = tokenize([sample.text for sample in samples]) if tokens is None else tokens
        self.tokens = TokenBatch(*(part[: self.num_captions] for part in self.all_tokens))

    @cached_property
    def selecting_tokens(self) -> TokenBatch | None:
        """The ids (B + R, L) of what selects in the place of the own texts, where it is given; ``None`` without any."""
        texts = [sample.get(SELECTING_TEXT) for sample in self.samples]
        if all(text is None for text in texts):
            return None
        own = (sample.text for sample in self.samples)
        return self._tokenize([mine if text is None else text for mine, text in zip(own, texts, strict=True)])

    @property
    def num_caption_images(self) -> int:
        """Images of the caption rows, which come first."""
        return self.num_captions * self.num_images // self.num_texts

    @property
    def has_region_rows(self) -> bool:
        """Whether rows for patch-text supervision follow the captions."""
        return self.num_captions < len(self.samples)

    def field(self, name: str) -> list[Any]:
        """Return a field of each caption row's data sample; ``None`` where a sample has none."""
        return [sample.get(name) for sample in self.samples[: self.num_captions]]

    def noise(self, name: str, *shape: int) -> Tensor:
        """Return uniform numbers in [0, 1) for this rank's rows that do not depend on the number of ranks.

        Nor do they depend on the first size after B: those of a longer one begin with them.

        Args:
            name: What they are for; different names give independent numbers, the same name the same ones in a step.
            *shape: (B, ...).
        """
        count, *rest = shape
        rows = self._in_one_process(own_rows(count, self.tokens.input_ids.device))
        return row_noise(name, self.iteration, rows, *rest, seed=self._noise_seed)

    def noise_of_pairs(self, name: str, others: Tensor) -> Tensor:
        """Return such numbers for each row of this rank with each of other rows, (B, C).

        Args:
            name: What they are for.
            others: int64 (C,), rows numbered as they are gathered.
        """
        rows = self._in_one_process(own_rows(self.num_captions, others.device))
        places = self._in_one_process(others)
        return noise_of_places(name, self.iteration, rows, places, seed=self._noise_seed)

    @property
    def _noise_seed(self) -> int:
        return torch.initial_seed() if self.seed is None else self.seed

    def _in_one_process(self, rows: Tensor) -> Tensor:
        """Return the numbers that gathered rows (R,) would have on a single rank, where an image's texts are together.

        Samplers deal out images: those of all ranks, each with its texts, are in the same order for any number.
        """
        if self.num_texts == 1:
            return rows
        return self.images_of(rows) * self.num_texts + rows // world_size() % self.num_texts

    def images_of(self, rows: Tensor) -> Tensor:
        """Return the number of the image of each row (R,), both numbered as rows of all ranks are gathered."""
        if self.num_texts == 1:
            return rows
        ranks = world_size()
        # Row i of rank r is number i * ranks + r, and so is image i.
        return rows // (self.num_texts * ranks) * ranks + rows % ranks

    @cached_property
    def image_ids(self) -> Tensor:
        """Image ids int64 (B,), as ``step.image_ids`` numbers them; an image without one is that of no other row."""
        # Images are numbered as rows are, so that no two of all ranks have one number.
        own = [row // self.num_texts * world_size() + rank() for row in range(self.num_captions)]
        named = zip(self.field("image_id"), own, self.field(DATA_ROW), strict=True)
        ids = [id_number(image_id, number, data_row) for image_id, number, data_row in named]
        return to_device(torch.tensor(ids), self.images.device)

    @cached_property
    def all_image_ids(self) -> Tensor:
        """Those of all ranks int64 (G,), in the order of gathered rows."""
        return gather_rows(self.image_ids)

    @cached_property
    def labels(self) -> Tensor | None:
        """Class labels int64 (B,) from ``gt_label``, or ``None`` where a row has none.

        Raises:
            DataError: A label is a fraction, or several numbers.
        """
        labels = self.field("gt_label")
        if any(label is None for label in labels):
            return None
        labels = [torch.as_tensor(label) for label in labels]
        wrong = next((label for label in labels if label.numel() != 1 or label.is_floating_point()), None)
        if wrong is not None:
            raise DataError(f"gt_label: must be one whole number, got {wrong.tolist()}. Correct the data.")
        # The data preprocessor may have moved them to the device: reading them one by one would stop it each time.
        return to_device(torch.stack([label.reshape(()) for label in labels]), self.images.device).long()

    @property
    def boxes(self) -> Boxes:
        """The boxes of the caption rows."""
        return self.all_boxes.rows(slice(0, self.num_captions))

    @cached_property
    def all_boxes(self) -> Boxes:
        """The boxes of all rows, padded; an image without boxes has none that are valid."""
        device, size = self.images.device, (self.images.shape[2], self.images.shape[3])
        corners, valid, named = boxes_of(self.samples)
        return Boxes(to_device(corners, device), to_device(valid, device), to_device(named, device), size)
