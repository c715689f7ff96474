"""Reading speed of tar shards, beside that of the bare webdataset library."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

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
        rates: ``bytes`` (image and text as they are) and ``decoded`` (the image as pixels), each of ``ours`` and of
            ``webdataset``.
    """

    samples: int
    rates: dict[str, dict[str, float]]

    def ratio(self, what: str) -> float:
        """Return our samples a second over those of webdataset."""
        return self.rates[what]["ours"] / self.rates[what]["webdataset"]


def measure_shards(shards: Sequence[str], rounds: int) -> ShardSpeed:
    """Read all samples in one process, in turns: ours shuffled through buffers of shards, webdataset in sequence.

    Decoding is each side's own: ``LoadImageFromBytes`` here, ``decode("rgb8")`` there. The files are in the system's
    cache after the first, untimed round.

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

    rates: dict[str, dict[str, float]] = {}
    for what, decoded in (("bytes", False), ("decoded", True)):
        runs = {"ours": ours(decoded), "webdataset": theirs(decoded)}
        counts = {name: run() for name, run in runs.items()}
        times = take_turns(runs, rounds, torch.device("cpu"), warm_up=0)
        rates[what] = {name: counts[name] / median(times[name]) for name in runs}
    return ShardSpeed(len(data), rates)
