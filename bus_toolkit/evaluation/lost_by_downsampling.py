"""Accuracy on what a smaller image loses: questions answered rightly at full size and wrongly after downsampling.

The protocol of arXiv 2510.07143: questions that a downsampled image answers as well say nothing about a selection of
tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.sample_verdicts import Question, read_verdicts_by_metric, verdict_of

GROUP = "lost_by_downsampling"
# Answers to VQA are right by parts; more than half counts as right (our choice).
_HALF = 0.5


class LostByDownsampling:
    """Tallies the verdicts of a test on the questions that a smaller image loses.

    Args:
        full: Verdicts of a model that sees images at full size and drops nothing (``bus-toolkit test --samples``).
        small: Those of the same model with smaller images.

    Raises:
        DataError: A file cannot be read, the two are not on the same questions, or nothing is lost.
    """

    def __init__(self, full: str | Path, small: str | Path) -> None:
        at_full, at_small = read_verdicts_by_metric(Path(full)), read_verdicts_by_metric(Path(small))
        self._lost: dict[str, set[Question]] = {}
        for metric in at_full.keys() & at_small.keys():
            if at_full[metric].keys() != at_small[metric].keys():
                raise DataError(
                    f"{full} and {small}: must be verdicts of {metric} on the same questions, got "
                    f"{len(at_full[metric])} and {len(at_small[metric])}, of which "
                    f"{len(at_full[metric].keys() & at_small[metric].keys())} are in both. Test both on the same data."
                )
            self._lost[metric] = {
                question
                for question, correct in at_full[metric].items()
                if correct > _HALF >= at_small[metric][question]
            }
        if not any(self._lost.values()):
            raise DataError(
                f"{full} and {small}: must have questions that are right in the first and wrong in the second, got "
                "none. Give the file at full size first, and one of a size that loses some."
            )
        self._verdicts: dict[str, list[float]] = {metric: [] for metric, lost in self._lost.items() if lost}

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take the lines of a metric (``SampleMetric.write_lines_to``)."""
        for line in lines:
            if "correct" not in line:
                continue
            metric, question, correct = verdict_of(line, GROUP)
            if question in self._lost.get(metric, ()):
                self._verdicts[metric].append(correct)

    def figures(self) -> dict[str, float]:
        """Return the mean verdict of each metric on what is lost, and on how many questions, and start again.

        Raises:
            DataError: Some of these questions were not asked.
        """
        found, self._verdicts = self._verdicts, {metric: [] for metric in self._verdicts}
        figures = {}
        for metric, verdicts in found.items():
            if len(verdicts) != len(self._lost[metric]):
                raise DataError(
                    f"{GROUP}: the test must ask all {len(self._lost[metric])} questions of {metric} that a smaller "
                    f"image loses, got {len(verdicts)} of them. Test on the data that both files are of."
                )
            figures[f"{GROUP}/{metric}"] = sum(verdicts) / len(verdicts)
            figures[f"{GROUP}/{metric}_questions"] = float(len(verdicts))
        return figures
