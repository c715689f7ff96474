"""How long the answers of an evaluation took to compute."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.speed import num_samples


class AnswerTimeHook(Hook):
    """Count samples and seconds of a test: the model's passes and heads, without loading, metrics and the first batch.

    The first batch counts only where there is no other one: it also pays for memory and kernels. A study gives the hook
    to ``evaluate``; no config names it.

    Attributes:
        samples: Samples of the batches that count.
        seconds: Their time.
    """

    priority = "VERY_LOW"  # after what other hooks do before a batch
    reads: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.samples, self.seconds = 0, 0.0
        self._began = 0.0

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock."""
        self._began = _now()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop it."""
        seconds, samples = _now() - self._began, num_samples(data_batch)
        if batch_idx == 1:
            self.samples, self.seconds = 0, 0.0
        self.samples += samples
        self.seconds += seconds


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
