"""What the validations during a training say: whether it had ended learning, and how fast it got where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bus_toolkit.evaluation.metrics.kinds import key_of
from bus_toolkit.study.report.runs import CurvePoint, Run

RISING = 1.0
"""Points by which the best of the last third exceeds the best before it in a curve that still rises (our choice)."""

Curve = list[tuple[CurvePoint, float]]
"""Points of a curve with their accuracy in per cent."""


def curve_of(run: Run, key: str | None) -> Curve:
    """Return the points that have the metric ``key``, in per cent, by step."""
    points = [(point, 100 * point.val[key]) for point in run.curve if key in point.val] if key else []
    return sorted(points, key=lambda item: item[0].step)


def metric_key(keys: Iterable[str], kind: str, given: str | None) -> str | None:
    """Return which validation metric shows the questions of a kind.

    ``given`` if the study names one; else the one that ends in ``/accuracy_<kind>``, else in ``/accuracy``.
    """
    keys = sorted(keys)
    endings = [given] if given else [f"/accuracy_{key_of(kind)}", "/accuracy"]
    return next((key for ending in endings for key in keys if key.endswith(ending)), None)


def last_gain(curve: Curve) -> float | None:
    """Return by how many points the best of the last third exceeds the best before; ``None`` for under three points."""
    if len(curve) < 3:
        return None
    border = curve[-1][0].step * 2 / 3
    early = [value for point, value in curve if point.step <= border]
    late = [value for point, value in curve if point.step > border]
    return max(late) - max(early) if early and late else None


def is_undertrained(curves: Sequence[Curve]) -> bool | None:
    """Return whether an arm still learned when it ended: its seeds' curves rose by more than ``RISING`` on average.

    ``None`` if no curve is long enough to say.
    """
    gains = [gain for gain in map(last_gain, curves) if gain is not None]
    return sum(gains) / len(gains) > RISING if gains else None


@dataclass(frozen=True)
class Reached:
    """When a training first reached a quality; lines between its validations.

    Attributes:
        seconds: Of training.
        macs: Of training.
    """

    seconds: float
    macs: float


def first_reach(curve: Curve, quality: float) -> Reached | None:
    """Return when a curve first reaches ``quality``, in per cent; ``None`` if it never does."""
    before: tuple[CurvePoint, float] | None = None
    for point, value in curve:
        if value >= quality:
            if before is None or before[1] >= value:
                return Reached(point.seconds, point.macs)
            share = (quality - before[1]) / (value - before[1])
            start = before[0]
            return Reached(
                start.seconds + share * (point.seconds - start.seconds), start.macs + share * (point.macs - start.macs)
            )
        before = (point, value)
    return None


@dataclass(frozen=True)
class TimeToQuality:
    """An arm against the unpruned arm's end quality, seed by seed from the same start.

    Attributes:
        seeds: Those that both have, and in which the unpruned arm still learned.
        seconds: Ratio of its time to that of the unpruned arm, by seed that reached it; empty if the machines differ.
        macs: Ratio of MACs by seed that reached it.
        quality: The unpruned arm's last validation by seed.
    """

    seeds: tuple[int, ...]
    seconds: Mapping[int, float]
    macs: Mapping[int, float]
    quality: Mapping[int, float]


def time_to_quality(runs: Sequence[Run], unpruned: Sequence[Run], key: str | None) -> TimeToQuality:
    """Compare the runs of an arm to those of the unpruned arm with the same seeds.

    Both times are the first at which the curve reaches the quality, so the unpruned arm has no disadvantage from
    validations after it got there. Seconds are compared on the same machine only.
    """
    theirs = {run.seed: run for run in unpruned}
    seeds, seconds, macs, quality = [], {}, {}, {}
    for run in sorted(runs, key=lambda run: run.seed):
        other = theirs.get(run.seed)
        curve, base = curve_of(run, key), curve_of(other, key) if other is not None else []
        if other is None or not curve or not base:
            continue
        full = first_reach(base, base[-1][1])
        if full is None or full.macs <= 0:  # it had its end quality when it started: there is nothing to compare
            continue
        seeds.append(run.seed)
        quality[run.seed] = base[-1][1]
        ours = first_reach(curve, base[-1][1])
        if ours is None:
            continue
        macs[run.seed] = ours.macs / full.macs
        if run.machine == other.machine and full.seconds > 0:
            seconds[run.seed] = ours.seconds / full.seconds
    return TimeToQuality(tuple(seeds), seconds, macs, quality)
