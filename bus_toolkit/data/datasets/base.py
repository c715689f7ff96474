"""The base of our data sets: samples through a pipeline, and a bounded number of bad ones."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.datasets.bad_samples import READ_ERRORS, BadSample, BadSampleCounter, LoadingError
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.data.transforms.blind import warn_of_mirrors
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.limits import CAPTION_CHARACTERS
from bus_toolkit.registry import TRANSFORMS

# Keys that a transform may need, and the advice when no earlier transform or data set has set them.
_PROVIDERS = {
    "img": "Put {type: LoadImage} first (LoadImageFromBytes for a ShardDataset)",
    "img_bytes": "This data set gives paths: use {type: LoadImage}",
}
# A large prime stride reaches every row of a data set of any likely size, and leaves the neighbours of a bad sample,
# which are often bad too.
_STRIDE = 100_003


def image_folder(path: str, setting: str) -> Path:
    """Return a folder of images, the home folder in place of ``~``; an empty text is the current one.

    Args:
        path: As a config gives it.
        setting: Name of the setting, for the message.

    Raises:
        DataError: There is no such folder; one bad sample an image would say so less clearly.
    """
    folder = expand_home(path)
    if not folder.is_dir():
        raise DataError(f"{setting}: there is no folder {folder}. Correct the path.")
    return folder


class SampleDataset(Dataset):
    """A data set whose ``get_data_info`` gives a sample and whose pipeline finishes it.

    A sample that cannot be read, or has an empty caption, is counted and logged, and another one takes its place.

    Args:
        pipeline: Transforms, or configs of them; the last one packs.
        size: Number of samples.
        max_bad_samples: So many bad samples are skipped before the run stops.

    Attributes:
        boxed_indices: Rows with boxes, for a ``RegionBatchSampler``.
    """

    boxed_indices: Sequence[int] | np.ndarray = []  # replaced, never changed

    def __init__(self, pipeline: Sequence[Any], *, size: int, max_bad_samples: int) -> None:
        self._size = size
        self.bad = BadSampleCounter(size, max_bad_samples, type(self).__name__)
        warn_of_mirrors(pipeline, type(self).__name__)
        self.pipeline = [TRANSFORMS.build(dict(t)) if isinstance(t, Mapping) else t for t in pipeline]

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers."""
        return {"dataset": type(self).__name__}

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._size

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline."""
        raise NotImplementedError

    def get_region_info(self, index: int) -> dict[str, Any]:
        """Return the sample of a row that a ``RegionBatchSampler`` appended; here the same."""
        return self.get_data_info(index)

    def __getitem__(self, index: int) -> Any:  # whatever the pipeline packs
        """Return a sample through the pipeline.

        Raises:
            TooManyBadSamples: More than ``max_bad_samples`` were met, or no good sample is left.
        """
        region_only = isinstance(index, RegionRow)
        for place in places_from(int(index), len(self)):
            try:
                return self.read(place, region_only=region_only)
            except BadSample as error:
                self.bad.add(place, error)
        raise self.bad.nothing_left()

    def read(self, index: int, *, region_only: bool = False) -> Any:
        """Return a sample through the pipeline, without replacing or counting a bad one.

        Args:
            index: Its row.
            region_only: As a row that a ``RegionBatchSampler`` appended.

        Raises:
            BadSample: It cannot be used.
        """
        return self.transformed(self.checked_info(int(index), region_only=region_only), self.pipeline)

    def checked_info(self, index: int, *, region_only: bool = False) -> dict[str, Any]:
        """Return a sample as it enters the pipeline, with a text that can be used.

        Args:
            index: Its row.
            region_only: As a row that a ``RegionBatchSampler`` appended.

        Raises:
            BadSample: It cannot be used.
        """
        sample = self.get_region_info(index) if region_only else self.get_data_info(index)
        check_caption(sample)
        if region_only:
            sample["region_only"] = True
        return sample

    def transformed(self, sample: Any, transforms: Iterable[Any]) -> Any:  # whatever the last of them packs
        """Return a sample after some of the pipeline's transforms.

        Raises:
            BadSample: It cannot be used.
            LoadingError: A transform needs what the sample does not have.
        """
        path = sample["img_path"]
        for transform in transforms:
            try:
                sample = transform(sample)
            except READ_ERRORS as error:
                # OpenCV breaks its messages into lines.
                raise BadSample(path, " ".join(str(error).split()) or type(error).__name__) from error
            except KeyError as error:
                missing = str(error.args[0]) if error.args else ""
                if missing not in _PROVIDERS or missing in sample:
                    raise
                raise LoadingError(
                    f"{type(self).__name__}.pipeline: {type(transform).__name__} needs '{missing}', got a sample with "
                    f"{', '.join(map(str, sample))}. {_PROVIDERS[missing]}."
                ) from error
            if sample is None:
                raise BadSample(path, f"{type(transform).__name__} could not use it")
        return sample


def places_from(start: int, count: int) -> Iterator[int]:
    """Yield all places below ``count``, from ``start`` on by large steps: where to look for a good sample."""
    for step in range(count):
        yield (start + step * _STRIDE) % count


def blank_caption(text: str) -> str:
    """Return what is wrong with a caption that shows nothing; characters that nobody sees are named."""
    return f"the caption is empty, got {text!a}" if text.strip() else "the caption is empty"


def check_caption(sample: Mapping[str, Any]) -> None:
    """Check the ``text`` of a sample.

    Raises:
        BadSample: It is no text, is empty, longer than ``CAPTION_CHARACTERS``, or holds half a character (a lone
            surrogate), which no tokenizer takes.
    """
    path, text = sample["img_path"], sample["text"]
    if not isinstance(text, str):
        raise BadSample(path, f"the caption is not text, got {reprlib.repr(text)}")
    if len(text) > CAPTION_CHARACTERS.value:
        most = CAPTION_CHARACTERS.value
        raise BadSample(
            path, f"the caption has {len(text)} characters, allowed are {most}. {CAPTION_CHARACTERS.advice}"
        )
    if is_blank(text):
        raise BadSample(path, blank_caption(text))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadSample(path, f"the caption is no valid text: {error.reason} at character {error.start}") from error
