"""An arm at one keep ratio on one kind of question, and what it is in the comparison."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bus_toolkit.study.report.bootstrap import Estimate
from bus_toolkit.study.report.curves import Curve, TimeToQuality, curve_of
from bus_toolkit.study.report.runs import Run
from bus_toolkit.study.report.scores import Split
from bus_toolkit.study.report.settings import ReportSettings


class Role(Enum):
    """What an arm is in the comparison; the value is how readers read it."""

    UNPRUNED = "all tokens"
    CEILING = "oracle"
    TEXT_AWARE = "reads the text"
    TEXT_FREE = "text-free"
    BASELINE = "baseline"
    SMALLER_IMAGE = "smaller image"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """An arm at one keep ratio on one kind of question.

    Attributes:
        arm: Its name in the study.
        shown: Its name for readers.
        role: What it is in the comparison.
        keep: Its keep ratio; 1 for an arm without one.
        is_reference: Whether the others are compared to it.
        runs: One a seed.
        accuracy: In per cent.
        difference: To the reference at the panel's keep ratio, in points; ``None`` without seeds in common.
        wrong_text: Accuracy while the selection reads another text; ``None`` if that was not tried.
        split: Accuracy where the unpruned arm is right and the smaller image wrong.
        is_undertrained: Whether its curves still rose, and it is better than guessing; ``None`` if unknown.
        time: To the unpruned arm's end quality; ``None`` if that cannot be said, or is about that of guessing.
        curve_key: The validation metric of its curves.
    """

    arm: str
    shown: str
    role: Role
    keep: float
    is_reference: bool
    runs: tuple[Run, ...]
    accuracy: Estimate
    difference: Estimate | None
    wrong_text: Estimate | None
    split: Split | None
    is_undertrained: bool | None
    time: TimeToQuality | None
    curve_key: str | None

    @property
    def macs(self) -> float:
        """MACs of one text with one image."""
        return statistics.fmean(run.macs for run in self.runs)

    @property
    def deviation(self) -> float | None:
        """By how many per cent the MACs differ from their target."""
        off = [100 * (run.macs / run.target_macs - 1) for run in self.runs if run.target_macs]
        return max(off, key=abs) if off else None

    @property
    def tokens(self) -> float | None:
        """Visual tokens after the last stage."""
        last = [list(run.tokens.values())[-1] for run in self.runs if run.tokens]
        return statistics.fmean(last) if last else None

    @property
    def shared_macs(self) -> float | None:
        """Those of its MACs that all questions about an image share; ``None`` if unknown."""
        shared = [run.shared_macs for run in self.runs if run.shared_macs is not None]
        return statistics.fmean(shared) if len(shared) == len(self.runs) else None

    def macs_of(self, questions: int) -> float | None:
        """Return the MACs a question where an image has several; ``None`` if what they share is unknown."""
        if questions == 1:
            return self.macs
        shared = self.shared_macs
        return None if shared is None else self.macs - shared * (1 - 1 / questions)

    def metric(self, key: str, *, under_other_text: bool = False) -> float | None:
        """Return a metric of its tests, the mean of its seeds; ``None`` unless all of them have it."""
        of = "wrong_text" if under_other_text else "metrics"
        values = [(run.line.get(of) or {}).get(key) for run in self.runs]
        known = [float(value) for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None

    @property
    def training_macs(self) -> float | None:
        """Counted MACs of training, the mean of its seeds; ``None`` if one of them has no curve."""
        ends = [run.curve[-1].macs for run in self.runs if run.curve]
        return statistics.fmean(ends) if len(ends) == len(self.runs) else None

    @property
    def steps(self) -> float:
        """Steps of training, the mean of its seeds."""
        return statistics.fmean(run.steps for run in self.runs)

    @property
    def is_one_config(self) -> bool:
        """Whether its seeds cost the same and had as many steps: else pieces of different studies were collected."""
        return len({(run.macs, run.steps) for run in self.runs}) == 1

    @property
    def curves(self) -> list[Curve]:
        """Validation accuracy during the training of each seed that noted some, in per cent."""
        return [curve for curve in (curve_of(run, self.curve_key) for run in self.runs) if curve]

    @property
    def properties(self) -> Mapping[str, Any]:
        """What its parts need; empty if unknown."""
        return self.runs[0].properties

    @property
    def is_choice(self) -> bool:
        """Whether a reader may choose it: no ceiling, and it reduces something.

        A selector with a ratio of its own, whose cost is not that of the others, is shown beside them, and no choice.
        """
        has_own_cost = self.keep == 1 and bool(self.properties.get("selectors"))
        return self.role not in (Role.CEILING, Role.UNPRUNED) and not has_own_cost


def role_of(arm: str, keep: float, properties: Mapping[str, Any], settings: ReportSettings) -> Role:
    """Return what an arm is in the comparison; a part's own promises decide between text-aware and text-free."""
    if arm in settings.ceilings or properties.get("needs_boxes"):
        return Role.CEILING
    if arm == settings.smaller_image:
        return Role.SMALLER_IMAGE
    if arm in settings.baselines:
        return Role.BASELINE
    if arm == settings.unpruned or (keep == 1 and not properties.get("selectors")):
        return Role.UNPRUNED
    if not properties:
        return Role.TEXT_AWARE if arm == settings.reference else Role.UNKNOWN
    return Role.TEXT_AWARE if properties.get("needs_text") else Role.TEXT_FREE
