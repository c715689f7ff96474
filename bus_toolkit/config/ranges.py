"""The ranges of numbers that OpenMMLab and torch take, at places of a config where no class of ours checks them.

Of the numbers outside, some end in a traceback after the model is built, and some train wrongly without a word:
gradients that are clipped to a negative norm point uphill.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
_FINITE = Range("0 or more, and finite", 0, without_high=True)
_POSITIVE = Range("above 0", 0, without_low=True)
_POSITIVE_FINITE = Range("above 0, and finite", 0, without_low=True, without_high=True)
_SHARE = Range("between 0 and 1", 0, 1, without_low=True, without_high=True)
_DECAY = Range("in [0, 1)", 0, 1, without_high=True)
_FACTOR = Range("above 0, at most 1", 0, 1, without_low=True)
_INTERVAL = Range("at least 1, or -1 for never", 1, also=(-1,))
_KEPT = Range("at least 1, or -1 for all", 1, also=(-1,))
_SEED = Range("in 0 to 2^32 - 1", 0, 2**32 - 1)
_LOADER = r"(train|val|test)_dataloader"
_HOOK = r"(?:default_hooks\.[^.]+|custom_hooks\.\d+)"
_SCHEDULE = r"param_scheduler(\.\d+)?"
# Each schedule of MMEngine is registered for the rate, for the momentum and for any setting of the optimizer.
_MOVED = ("LR", "Momentum", "ParamScheduler")
_ANY = ("",)


def _schedules(name: str) -> tuple[str, ...]:
    return tuple(f"{name}{moved}" for moved in _MOVED)


_RANGES: tuple[tuple[str, tuple[str, ...], dict[str, Range]], ...] = (
    (_LOADER, _ANY, {"batch_size": _COUNT, "num_workers": _NOT_NEGATIVE, "prefetch_factor": _COUNT}),
    (
        "train_cfg",
        _ANY,
        {"max_epochs": _COUNT, "max_iters": _COUNT, "val_interval": _COUNT, "val_begin": _NOT_NEGATIVE},
    ),
    ("optim_wrapper", _ANY, {"accumulative_counts": _COUNT}),
    (
        r"optim_wrapper\.optimizer|optim_wrapper\.paramwise_cfg\.custom_keys\..+",
        _ANY,
        dict.fromkeys(("lr", "weight_decay", "eps", "lr_mult", "decay_mult", "momentum"), _FINITE) | {"betas": _DECAY},
    ),
    (r"optim_wrapper\.clip_grad", _ANY, {"max_norm": _POSITIVE, "clip_value": _POSITIVE, "norm_type": _POSITIVE}),
    (
        _SCHEDULE,
        _ANY,
        {"begin": _NOT_NEGATIVE, "T_max": _COUNT, "last_step": Range("-1", -1, -1)}
        # A rate below 0 climbs the loss instead of descending it.
        | dict.fromkeys(("eta_min", "eta_min_ratio", "min_value"), _FINITE),
    ),
    # These schedules multiply the rate by the quotient of one factor and the one before: none may be 0 but the last.
    (_SCHEDULE, _schedules("Linear"), {"start_factor": _FACTOR, "end_factor": Range("in [0, 1]", 0, 1)}),
    (_SCHEDULE, _schedules("Constant"), {"factor": _FACTOR}),
    (_SCHEDULE, _schedules("Exponential"), {"gamma": _POSITIVE_FINITE}),
    (_SCHEDULE, _schedules("Step"), {"gamma": _FINITE, "step_size": _COUNT, "milestones": _NOT_NEGATIVE}),
    (_SCHEDULE, _schedules("Poly"), {"power": _POSITIVE_FINITE}),
    (_SCHEDULE, _schedules("CosineRestart"), {"periods": _COUNT, "restart_weights": _FINITE}),
    (
        _SCHEDULE,
        _schedules("OneCycle"),
        {"total_steps": _COUNT, "pct_start": Range("in [0, 1]", 0, 1)}
        | dict.fromkeys(("eta_max", "div_factor", "final_div_factor"), _POSITIVE_FINITE),
    ),
    (
        _SCHEDULE,
        _schedules("ReduceOnPlateau"),
        {"factor": _DECAY, "patience": _NOT_NEGATIVE, "cooldown": _NOT_NEGATIVE, "threshold": _FINITE},
    ),
    ("randomness", _ANY, {"seed": _SEED}),
    (_HOOK, ("CheckpointHook",), {"interval": _INTERVAL, "max_keep_ckpts": _KEPT}),
    (_HOOK, ("LoggerHook",), {"interval": _COUNT}),
    (_HOOK, ("EMAHook",), {"momentum": _SHARE, "interval": _COUNT, "begin_iter": _NOT_NEGATIVE}),
    (_HOOK, ("EarlyStoppingHook",), {"patience": _NOT_NEGATIVE, "min_delta": _NOT_NEGATIVE}),
)


def range_problems(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Yield each number of the node at ``path`` that is outside its range, and an end that comes before its begin."""
    kind = str(node.get("type", ""))
    for kinds, ranges in _ranges_at(path):
        if not kind.endswith(kinds):
            continue
        for name, allowed in ranges.items():
            yield from _outside(node.get(name), at(path, name), allowed)
    begin, end = node.get("begin", 0), node.get("end")
    if re.fullmatch(_SCHEDULE, path) and _is_number(begin) and _is_number(end) and end <= begin:
        yield Problem(at(path, "end"), f"must be after begin, got {end} with begin {begin}. Leave it out for no end.")


@lru_cache(maxsize=4096)
def _ranges_at(path: str) -> list[tuple[tuple[str, ...], dict[str, Range]]]:
    return [(kinds, ranges) for pattern, kinds, ranges in _RANGES if re.fullmatch(pattern, path)]


def _outside(value: Any, path: str, allowed: Range) -> Iterator[Problem]:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _outside(item, at(path, index), allowed)
    elif _is_number(value) and not allowed.contains(value):
        yield Problem(path, f"must be {allowed.shown}, got {value}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
