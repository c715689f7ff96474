"""What the battery found, in two lines, a table and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bus_toolkit.gpu_battery.agreement import Agreement
from bus_toolkit.gpu_battery.arms import BUS, UNPRUNED
from bus_toolkit.gpu_battery.speed import Speed


@dataclass
class Report:
    """Everything that was found.

    Attributes:
        machine: Device, versions, size.
        agreements: Parts beside the CPU.
        speeds: Arms.
        seconds: How long it took.
    """

    machine: dict[str, Any]
    agreements: list[Agreement] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether all parts agree, none waits, and each arm has figures."""
        parts = all(not one.problem and not one.waits for one in self.agreements)
        return parts and all(not one.problem for one in self.speeds)

    def verdict(self) -> tuple[str, str]:
        """Return one line on correctness and one on speed."""
        return _of_parts(self.agreements), _of_speed(self.speeds)

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "machine": self.machine,
            "verdict": list(self.verdict()),
            "is_good": self.is_good,
            "seconds": round(self.seconds, 1),
            "agreement": [asdict(one) for one in self.agreements],
            "speed": [asdict(one) for one in self.speeds],
        }


def _of_parts(agreements: Sequence[Agreement]) -> str:
    bad = [one for one in agreements if one.problem]
    waiting = [one for one in agreements if one.waits]
    good = len(agreements) - len(bad)
    words = [f"Parts: {good} of {len(agreements)} agree with the CPU"]
    for precision in dict.fromkeys(one.precision for one in agreements):
        largest = max((one.difference or 0.0 for one in agreements if one.precision == precision), default=0.0)
        words.append(f"largest difference {largest:.1g} in {precision}")
    if waiting:
        words.append(f"{waiting[0].part} waits for the device ({waiting[0].waits}), {len(waiting)} in all")
    elif any(one.waits == "" for one in agreements):
        words.append("no step waits for the device")
    if bad:
        words.append(f"first fault: {bad[0].part}, {bad[0].precision}: {bad[0].problem}")
    return "; ".join(words) + "."


def _of_speed(speeds: Sequence[Speed]) -> str:
    known = {(one.arm, one.pixels, one.compiled): one for one in speeds if one.samples_per_second}
    words = []
    for arm, pixels, compiled in known:
        base = known.get((UNPRUNED, pixels, compiled))
        if arm == BUS and base is not None:
            one = known[arm, pixels, compiled]
            ratio = (one.samples_per_second or 0.0) / (base.samples_per_second or 1.0)
            memory = (one.peak_mib or 0.0) / (base.peak_mib or 1.0)
            words.append(f"{ratio:.2f}x at {pixels} px{' compiled' if compiled else ''} (memory {memory:.2f}x)")
    bad = [one for one in speeds if one.problem]
    fault = ""
    if bad:
        fault = f" {len(bad)} without a figure, the first {bad[0].arm} at {bad[0].pixels} px: {bad[0].problem}."
    return f"Speed: BUS trains {', '.join(words) or 'without a figure'} beside its unpruned model.{fault}"


def table(speeds: Sequence[Speed]) -> list[list[str]]:
    """Return the rows of a table of all arms, its head first."""
    base = {(one.pixels, one.compiled): one.samples_per_second for one in speeds if one.arm == UNPRUNED}
    rows = [["px", "arm", "batch", "samples/s", "x unpruned", "peak MiB"]]
    for one in speeds:
        name = f"{one.arm}, compiled" if one.compiled else one.arm
        unpruned = base.get((one.pixels, one.compiled))
        figures = [one.problem, "", ""]
        if one.samples_per_second:
            ratio = f"{one.samples_per_second / unpruned:.2f}" if unpruned else ""
            figures = [f"{one.samples_per_second:.1f}", ratio, f"{one.peak_mib:.0f}"]
        rows.append([str(one.pixels), name, str(one.batch), *figures])
    return rows
