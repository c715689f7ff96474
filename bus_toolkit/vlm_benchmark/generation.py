"""An answer of a vision-language model with the time of its tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from bus_toolkit.vlm_benchmark.made_up_inputs import special_ids


@dataclass(frozen=True)
class Answer:
    """A batch of answers.

    Attributes:
        first_seconds: Until the first token of all was there.
        later_seconds: From then until the last token was there.
        cache_bytes: What keys and values of all layers take up at the end.
    """

    first_seconds: float
    later_seconds: float
    cache_bytes: int

    @property
    def seconds(self) -> float:
        """From the call to the last token."""
        return self.first_seconds + self.later_seconds


def answer(model: Any, inputs: Mapping[str, Tensor], num_tokens: int) -> Answer:
    """Let ``generate`` choose ``num_tokens`` tokens, greedily, none of them visual; it never ends early."""
    clock = _TokenClock(model.device)
    output = model.generate(
        **inputs,
        max_new_tokens=num_tokens,
        min_new_tokens=num_tokens,
        do_sample=False,
        use_cache=True,
        suppress_tokens=special_ids(model.config),
        pad_token_id=0,
        eos_token_id=None,
        stopping_criteria=StoppingCriteriaList([clock]),
        return_dict_in_generate=True,
    )
    start, first, *_ = clock.times
    return Answer(first - start, clock.times[-1] - first, cache_bytes(output.past_key_values))


def cache_bytes(cache: Any) -> int:
    """Return the bytes of the keys and values of all layers as they are, each as long as it is."""
    return sum(part.numel() * part.element_size() for layer in cache.layers for part in (layer.keys, layer.values))


class SelectionClock:
    """Adds up the time between the start and the end of selections, without making a GPU wait.

    On CUDA by events in its queue, so that time in which the GPU waits for the choice to be asked for is in it.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._spans: list[tuple[Any, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time until the region ends."""
        start = self._now()
        yield
        self._spans.append((start, self._now()))

    def take(self) -> float:
        """Return the seconds since the last call; the device's queue must be empty."""
        spans, self._spans = self._spans, []
        if self._on_gpu:
            return sum(start.elapsed_time(end) for start, end in spans) / 1e3
        return sum(end - start for start, end in spans)

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


class _TokenClock(StoppingCriteria):
    """Notes when each token of a generation is there; it never stops one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.times = [self._now()]

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        self.times.append(self._now())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
