"""How estimates and costs are written."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bus_toolkit.study.markdown import spread_text
from bus_toolkit.study.report.bootstrap import Estimate

NOTHING = "-"
NOT_RUN = "not run"


def estimate_text(estimate: Estimate | None, signed: bool = False) -> str:
    """Return a value with its interval; the value alone if there is none."""
    if estimate is None or math.isnan(estimate.mean):
        return NOTHING
    sign = "+" if signed else ""
    mean = f"{estimate.mean:{sign}.1f}"
    return mean if math.isnan(estimate.low) else f"{mean} [{estimate.low:{sign}.1f}, {estimate.high:{sign}.1f}]"


def number_text(value: float | None, form: str = ".0f") -> str:
    """Return a number in a format, a dash for ``None``."""
    return NOTHING if value is None else f"{value:{form}}"


def tera_text(macs: float | None) -> str:
    """Return MACs in units of 10^12."""
    return NOTHING if macs is None else f"{macs / 1e12:.1f}"


def macs_text(macs: float | None) -> str:
    """Return MACs in millions, with three digits at least."""
    if macs is None:
        return NOTHING
    return f"{macs / 1e6:.1f}" if macs < 1e8 else f"{macs / 1e6:.0f}"


def ratios_text(ratios: Mapping[int, float]) -> str:
    """Return ratios by seed as a factor, with their range."""
    spread = spread_text(list(ratios.values()), 2)
    return f"x {spread}" if spread else NOTHING
