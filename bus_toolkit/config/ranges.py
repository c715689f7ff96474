"""The ranges of numbers that OpenMMLab and torch take, at places of a config where no class of ours checks them.

Of the numbers outside, some end in a traceback after the model is built, and some train wrongly without a word:
gradients that are clipped to a negative norm point uphill.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import Problem
from bus_toolkit.signatures import at


@dataclass(frozen=True)
class Range:
    """Numbers between ``low`` and ``high``; ``shown`` says which in a message, ``also`` has a meaning of its own."""

    shown: str
    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False
    also: tuple[float, ...] = ()

    def contains(self, value: float) -> bool:
        """Return whether ``value`` is one of them; NaN is not."""
        above = value > self.low if self.without_low else value >= self.low
        below = value < self.high if self.without_high else value <= self.high
        return (above and below) or value in self.also


_COUNT = Range("at least 1", 1)
_NOT_NEGATIVE = Range("0 or more", 0)
_POSITIVE = Range("above 0", 0, without_low=True)
_SHARE = Range("between 0 and 1", 0, 1, without_low=True, without_high=True)
_DECAY = Range("in [0, 1)", 0, 1, without_high=True)
_INTERVAL = Range("at least 1, or -1 for never", 1, also=(-1,))
_SEED = Range("in 0 to 2^32 - 1", 0, 2**32 - 1)
_LOADER = r"(train|val|test)_dataloader"
_HOOK = r"(?:default_hooks\.[^.]+|custom_hooks\.\d+)"
_RANGES: tuple[tuple[str, str, dict[str, Range]], ...] = (
    (_LOADER, "", {"batch_size": _COUNT, "num_workers": _NOT_NEGATIVE, "prefetch_factor": _COUNT}),
    ("train_cfg", "", {"max_epochs": _COUNT, "max_iters": _COUNT, "val_interval": _COUNT}),
    ("optim_wrapper", "", {"accumulative_counts": _COUNT}),
    (
        r"optim_wrapper\.optimizer|optim_wrapper\.paramwise_cfg\.custom_keys\..+",
        "",
        dict.fromkeys(("lr", "weight_decay", "eps", "lr_mult", "decay_mult"), _NOT_NEGATIVE)
        | {"betas": _DECAY, "momentum": _NOT_NEGATIVE},
    ),
    (r"optim_wrapper\.clip_grad", "", {"max_norm": _POSITIVE, "clip_value": _POSITIVE, "norm_type": _POSITIVE}),
    (r"param_scheduler(\.\d+)?", "", {"begin": _NOT_NEGATIVE, "T_max": _COUNT, "last_step": Range("-1", -1, -1)}),
    ("randomness", "", {"seed": _SEED}),
    (_HOOK, "CheckpointHook", {"interval": _INTERVAL, "max_keep_ckpts": _INTERVAL}),
    (_HOOK, "LoggerHook", {"interval": _COUNT}),
    (_HOOK, "EMAHook", {"momentum": _SHARE, "interval": _COUNT, "begin_iter": _NOT_NEGATIVE}),
    (_HOOK, "EarlyStoppingHook", {"patience": _NOT_NEGATIVE, "min_delta": _NOT_NEGATIVE}),
)


def range_problems(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Yield each number of the node at ``path`` that is outside its range, and an end that comes before its begin."""
    kind = str(node.get("type", ""))
    for pattern, suffix, ranges in _RANGES:
        if not re.fullmatch(pattern, path) or not kind.endswith(suffix):
            continue
        for name, allowed in ranges.items():
            yield from _outside(node.get(name), at(path, name), allowed)
    begin, end = node.get("begin", 0), node.get("end")
    if re.fullmatch(r"param_scheduler(\.\d+)?", path) and _is_number(begin) and _is_number(end) and end <= begin:
        yield Problem(at(path, "end"), f"must be after begin, got {end} with begin {begin}. Leave it out for no end.")


def _outside(value: Any, path: str, allowed: Range) -> Iterator[Problem]:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _outside(item, at(path, index), allowed)
    elif _is_number(value) and not allowed.contains(value):
        yield Problem(path, f"must be {allowed.shown}, got {value}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
