"""How the plots of a study show each arm: colours and dashes by role, markers by arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus_toolkit.study.report.rows import Role

# Colours of Okabe and Ito, which readers with any kind of colour vision can distinguish; the yellow is left out, since
# it is too pale on white.
COLOURS = {
    Role.TEXT_AWARE: "#0072b2",
    Role.TEXT_FREE: "#d55e00",
    Role.SMALLER_IMAGE: "#cc79a7",
    Role.BASELINE: "#6b7280",
    Role.CEILING: "#009e73",
    Role.UNPRUNED: "#1f2430",
    Role.UNKNOWN: "#56b4e9",
}
DASHES = {
    Role.TEXT_AWARE: "-",
    Role.TEXT_FREE: "-",
    Role.SMALLER_IMAGE: (0, (5, 2)),
    Role.BASELINE: (0, (1, 1.2)),
    Role.CEILING: (0, (3, 1, 1, 1)),
    Role.UNPRUNED: (0, (6, 3)),
    Role.UNKNOWN: "-",
}
MARKERS = "osD^vP*Xhp<>d"
METHODS = (Role.TEXT_AWARE, Role.TEXT_FREE, Role.UNKNOWN)
"""Roles that are compared; the arms of the others are what they are compared to."""


class Style:
    """A colour, dash and marker for each arm: colour and dash by its role, filled or open markers by its place.

    The arms that methods are compared to have markers of their own; those of two methods are alike only where their
    roles, and so their colours, differ. There are twice as many as ``MARKERS``.
    """

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self.roles = roles
        common = [arm for arm in sorted(roles) if roles[arm] not in METHODS]
        groups = [common, *([arm for arm in sorted(roles) if roles[arm] is role] for role in METHODS)]
        self._place = {
            arm: i + (0 if group is common else len(common)) for group in groups for i, arm in enumerate(group)
        }

    def line(self, arm: str) -> dict[str, Any]:
        """Return the arguments of ``plot`` and ``errorbar``."""
        role = self.roles[arm]
        turn, place = divmod(self._place[arm], len(MARKERS))
        return {
            "color": COLOURS[role],
            "linestyle": DASHES[role],
            "marker": MARKERS[place],
            "markerfacecolor": "white" if turn % 2 else COLOURS[role],
            "linewidth": 2.6 if role is Role.TEXT_AWARE else 1.8,
            "markersize": 6.5,
        }

    def colour(self, arm: str) -> str:
        """Return the colour of an arm."""
        return COLOURS[self.roles[arm]]
