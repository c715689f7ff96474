"""Count samples and seconds of a training, without the time that validation and checkpoints take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def num_samples(data_batch: Any) -> int:
    """Return how many image-text pairs a batch holds; rows that only serve the patch-text loss do not count."""
    if not isinstance(data_batch, Mapping):
        return len(data_batch) if hasattr(data_batch, "__len__") else 0
    samples = data_batch.get("data_samples")
    if samples is None:
        return len(next(iter(data_batch.values()), ()))
    return sum(not (hasattr(sample, "get") and sample.get("region_only", False)) for sample in samples)


class Speedometer:
    """Measure samples a second, in all and since the last reading.

    Args:
        world_size: Processes that each see as many samples as this one.
    """

    def __init__(self, world_size: int = 1) -> None:
        self.world_size = world_size
        self.seconds = 0.0
        self.samples = 0
        self.iterations = 0
        self._last_tick: float | None = None
        self._last_reading = (0.0, 0)

    def resume(self) -> None:
        """Start the clock, at the start of the training or after a break."""
        self._last_tick = time.perf_counter()

    def tick(self, samples: int) -> None:
        """Note that an iteration over ``samples`` of this process has ended."""
        now = time.perf_counter()
        self.seconds += 0.0 if self._last_tick is None else now - self._last_tick
        self._last_tick = now
        self.samples += samples * self.world_size
        self.iterations += 1

    def read(self) -> float:
        """Return the samples a second since the last reading."""
        seconds, samples = self.seconds - self._last_reading[0], self.samples - self._last_reading[1]
        self._last_reading = (self.seconds, self.samples)
        return samples / seconds if seconds > 0 else 0.0

    def remaining(self, iterations: int) -> float:
        """Return the seconds that ``iterations`` more will take at the mean pace so far."""
        return iterations * self.seconds / self.iterations if self.iterations else 0.0
