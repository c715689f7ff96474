"""Reading speed of tar shards, beside that of the webdataset library, and of timm's transforms on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from bus_toolkit.analysis.benchmark.timing import take_turns
from bus_toolkit.data.samplers.shard_samplers import ShardShuffleSampler
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.data.transforms.load import LoadImageFromBytes
from bus_toolkit.errors import ConfigError


@dataclass(frozen=True)
class ShardSpeed:
    """Samples a second: medians over the rounds, by way of reading.

    Attributes:
        samples: Samples of a pass.
        rates: ``bytes`` (image and text as they are), ``decoded`` (the image as pixels) and ``training`` (a random
            window of 20 % to 100 % at 256 px, bicubic, mirrored for half of them, as a tensor of bytes), each of
            ``ours`` and of ``webdataset``, the last one of ``timm`` as well where it is installed.
    """

    samples: int
    rates: dict[str, dict[str, float]]

    def ratio(self, what: str) -> float:
        """Return our samples a second over those of the fastest other way."""
        others = [rate for name, rate in self.rates[what].items() if name != "ours"]
        return self.rates[what]["ours"] / max(others)


def measure_shards(shards: Sequence[str], rounds: int) -> ShardSpeed:
    """Read all samples in one process, in turns: ours shuffled through buffers of shards, webdataset in sequence.

    Decoding is each side's own: ``LoadImageFromBytes`` here, ``decode("rgb8")`` there, Pillow in the trainings of
    webdataset (with torchvision's transforms) and timm (with its own, on webdataset's stream, as its reader of shards
    has it). The files are in the system's cache after the first, untimed round.

    Args:
        shards: Paths of local shards of image and text pairs.
        rounds: Timed rounds.

    Raises:
        ConfigError: webdataset is not installed.
        DataError: The shards cannot be read.
    """
    try:
        import webdataset
    except ImportError as error:
        raise ConfigError("webdataset: the comparison needs it. pip install 'bus_toolkit[remote]'.") from error
    data = ShardDataset(list(shards), with_boxes=False, max_bad_samples=len(shards) * 1000)
    sampler = ShardShuffleSampler(data, seed=0)
    decode = LoadImageFromBytes()
    paths = [os.path.abspath(path) for path in shards]

    def theirs(decoded: bool) -> Callable[[], int]:
        def run() -> int:
            stream = webdataset.WebDataset(paths, shardshuffle=False, empty_check=False)
            return sum(1 for _ in (stream.decode("rgb8") if decoded else stream))

        return run

    def ours(decoded: bool) -> Callable[[], int]:
        def run() -> int:
            samples = (data.get_data_info(row) for row in sampler)
            return sum(1 for sample in samples if not decoded or decode.transform(sample)["img"] is not None)

        return run

    ways = {
        what: {"ours": ours(decoded), "webdataset": theirs(decoded)}
        for what, decoded in (("bytes", False), ("decoded", True))
    }
    rates: dict[str, dict[str, float]] = {}
    for what, runs in (ways | {"training": _trainings(shards, webdataset)}).items():
        counts = {name: run() for name, run in runs.items()}
        times = take_turns(runs, rounds, torch.device("cpu"), warm_up=0)
        rates[what] = {name: counts[name] / median(times[name]) for name in runs}
    return ShardSpeed(len(data), rates)


def _trainings(shards: Sequence[str], webdataset: Any) -> dict[str, Callable[[], int]]:
    """Return what reads all samples as a training does, by way."""
    window, size = (0.2, 1.0), 256
    pipeline: list[dict[str, Any]] = [
        {"type": "bus_toolkit.LoadImageFromBytes"},
        {"type": "bus_toolkit.RandomResizedCropWithBoxes", "scale": size, "crop_ratio_range": list(window)},
        {"type": "bus_toolkit.RandomFlipWithText", "prob": 0.5},
        {"type": "bus_toolkit.PackRegions"},
    ]
    data = ShardDataset(list(shards), pipeline, with_boxes=False, max_bad_samples=len(shards) * 1000)
    sampler = ShardShuffleSampler(data, seed=0)
    transforms = {"webdataset": _torchvision(size, window), "timm": _timm(size, window)}

    def theirs(transform: Callable[[Any], Any]) -> int:
        stream = webdataset.WebDataset(list(map(os.path.abspath, shards)), shardshuffle=False, empty_check=False)
        pictures = (
            image for sample in stream.decode("pilrgb") for image in sample.values() if hasattr(image, "resize")
        )
        return sum(1 for image in pictures if transform(image) is not None)

    found = {name: partial(theirs, transform) for name, transform in transforms.items() if transform is not None}
    return {"ours": lambda: sum(1 for row in sampler if data[row]["inputs"] is not None), **found}


def _torchvision(size: int, window: tuple[float, float]) -> Callable[[Any], Any]:
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(size, scale=window, interpolation=v2.InterpolationMode.BICUBIC)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), v2.PILToTensor()])


def _timm(size: int, window: tuple[float, float]) -> Callable[[Any], Any] | None:
    try:
        from timm.data import create_transform
    except ImportError:
        return None
    # use_prefetcher: arrays of bytes, which are normalised on the device, as ours are.
    settings = {"scale": window, "interpolation": "bicubic", "color_jitter": None, "use_prefetcher": True}
    return create_transform(size, is_training=True, **settings)
