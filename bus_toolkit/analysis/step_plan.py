"""How long a training step takes on machines that are not here, by what it computes and what its ranks exchange.

A step is ``overhead + MACs / speed``, as a fit over a few batches and image sizes finds it (``fit_speed``), and the
wait for other ranks: a collective takes its start and its bytes over the bandwidth, with the factors of a ring
(NVIDIA/nccl-tests:doc/PERFORMANCE.md). Gradients are summed while the backward pass runs, and count where they take
longer than that; all else waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bus_toolkit.analysis.communication import StepTraffic

_BACKWARD = 2 / 3  # of a step's MACs
_SUMS = ("means", "figures", "gradients of weights")
_EXCHANGES = ("drawn rows", "gradients of drawn rows")


@dataclass(frozen=True)
class Machine:
    """What a step's time follows from.

    Attributes:
        macs_per_second: Of a rank, as a training reaches them.
        overhead: Seconds of a step that do not depend on its MACs.
        near: Bytes a second from rank to rank within a node.
        far: Bytes a second of a rank between nodes.
        ranks_per_node: Ranks that are near.
        start: Seconds that a collective takes for a doubling of the ranks, however little it moves.
    """

    macs_per_second: float
    overhead: float
    near: float
    far: float
    ranks_per_node: int
    start: float


class StepTime(NamedTuple):
    """Seconds of a step: ``compute``, ``waited`` for exchanges, and what is left of ``gradients`` after it."""

    compute: float
    waited: float
    gradients: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self)


def fit_speed(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return overhead in seconds and MACs a second that explain steps best, by relative least squares.

    Args:
        points: MACs and seconds of at least two steps of different size.
    """
    # The normal equations of (overhead + macs * slope) / seconds = 1.
    a = [1.0 / seconds for _, seconds in points]
    b = [macs / seconds for macs, seconds in points]
    aa, ab, bb = (sum(x * y for x, y in zip(one, other, strict=True)) for one, other in ((a, a), (a, b), (b, b)))
    determinant = aa * bb - ab * ab
    overhead, slope = (sum(a) * bb - sum(b) * ab) / determinant, (aa * sum(b) - ab * sum(a)) / determinant
    # Below zero there is no overhead to be seen.
    return (overhead, 1.0 / slope) if overhead >= 0 else (0.0, bb / sum(b))


def step_time(machine: Machine, macs: float, traffic: StepTraffic, ranks: int) -> StepTime:
    """Return how long a step of one of ``ranks`` ranks takes.

    Args:
        machine: Of the ranks.
        macs: Of a rank's step, forward and backward.
        traffic: What it gives and gets.
        ranks: One or more.
    """
    compute = machine.overhead + macs / machine.macs_per_second
    if ranks == 1:
        return StepTime(compute, 0.0, 0.0)
    bandwidth = machine.near if ranks <= machine.ranks_per_node else machine.far
    start = machine.start * math.log2(ranks)
    around = (ranks - 1) / ranks
    sizes = traffic.bytes_at(ranks)
    seconds = {
        kind: _calls(kind, traffic) * start + size / bandwidth * _share(kind, around) for kind, size in sizes.items()
    }
    gradients = seconds.pop("gradients of weights")
    waited = sum(value for kind, value in seconds.items() if sizes[kind])
    return StepTime(compute, waited, max(0.0, gradients - _BACKWARD * compute))


def _share(kind: str, around: float) -> float:
    """Return how often a tensor's bytes pass a link of a ring."""
    return 1.0 if kind in _EXCHANGES else 2.0 * around if kind in _SUMS else around


def _calls(kind: str, traffic: StepTraffic) -> int:
    return traffic.means if kind == "means" else 2 if kind in _EXCHANGES else 1


def plan_table(machine: Machine, macs: float, traffic: StepTraffic, ranks: Sequence[int]) -> str:
    """Return a Markdown table: a row for each number of ranks, with what its step takes in milliseconds."""
    lines = [
        "| ranks | compute, ms | wait for exchanges | rest of gradients | step | texts a second | of W ranks alone |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    alone = step_time(machine, macs, traffic, 1).total
    for count in ranks:
        time = step_time(machine, macs, traffic, count)
        shown = [f"{1000 * seconds:.1f}" for seconds in (*time, time.total)]
        speed = f"{count * traffic.rows / time.total:,.0f}"
        lines.append(f"| {count:,} | {' | '.join(shown)} | {speed} | {100 * alone / time.total:.0f} % |")
    return "\n".join(lines)
