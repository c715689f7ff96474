"""The search for the largest step whose cost is within a budget."""

from __future__ import annotations

from collections.abc import Callable

from bus_toolkit.errors import ComponentError


class Costs:
    """MACs by step, each counted once; they do not fall from step to step.

    Args:
        count: Counts the MACs of a step.
        budget: MACs.

    Attributes:
        refused: Steps that a part refuses, with its error. They count as affordable: a summary of more tokens than
            are left, for example, is refused because the step is too small.
    """

    def __init__(self, count: Callable[[int], int], budget: int) -> None:
        self._count, self._budget = count, budget
        self._known: dict[int, int] = {}
        self.refused: dict[int, ComponentError] = {}

    def of(self, step: int) -> int:
        """Return the MACs of a step."""
        if step not in self._known:
            self._known[step] = self._count(step)
        return self._known[step]

    def most(self, last: int) -> int:
        """Return the largest step from 1 that is within the budget or refused, 0 for none; ``last`` costs too much.

        Costs grow almost evenly, so that the next step to count is where a straight line between the ends of what is
        left meets the budget: about half as many counts as by halving.
        """
        low, high = 0, last
        while high - low > 1:
            step = self._between(low, high)
            if self.is_too_much(step):
                high = step
            else:
                low = step
        return low

    def _between(self, low: int, high: int) -> int:
        if low not in self._known:
            return (low + high) // 2
        share = (self._budget - self.of(low)) / (self.of(high) - self.of(low))
        return min(max(low + int(share * (high - low)), low + 1), high - 1)

    def is_too_much(self, step: int) -> bool:
        """Return whether a step costs more than the budget; one that a part refuses does not, and is noted."""
        try:
            return self.of(step) > self._budget
        except ComponentError as error:
            self.refused[step] = error
            return False


def giga(macs: int) -> str:
    """Return MACs in words."""
    return f"{macs / 1e9:.3f} GMAC"
