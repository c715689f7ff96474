"""Accuracies of a study's arms on one kind of question, with intervals, from the verdicts of all runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus_toolkit.study.report.bootstrap import (
    Estimate,
    ImageDraws,
    Share,
    estimate,
    estimate_difference,
    sum_by_image,
)
from bus_toolkit.study.report.samples import OWN, Verdicts


class Cell(NamedTuple):
    """An arm at a keep ratio, its selection under one kind of text; all its seeds."""

    arm: str
    keep: float
    text: str = OWN


@dataclass(frozen=True)
class Split:
    """Accuracy on the questions that one arm answers rightly and another one wrongly.

    Attributes:
        accuracy: Over all seeds.
        num_questions: How many there are, summed over the seeds.
    """

    accuracy: Estimate
    num_questions: int


class Scores:
    """What the arms of a task score on one kind of its questions.

    Args:
        verdicts: Of the task.
        kind: The kind of questions.
        draws: Of the task's images.
    """

    def __init__(self, verdicts: Verdicts, kind: str, draws: ImageDraws) -> None:
        self.draws = draws
        of_kind = np.array([question.kind == kind for question in verdicts.questions])
        images = images_of(verdicts)
        self.image_N = np.array([images[image] for image, _ in verdicts.questions.values()])[of_kind]
        self.num_questions, self.num_images = len(self.image_N), len(set(self.image_N.tolist()))
        self._num_images_of_task = len(images)
        self._right: dict[Cell, dict[int, NDArray[np.bool_]]] = defaultdict(dict)
        for column, right in verdicts.columns.items():
            self._right[Cell(column.arm, column.keep, column.text)][column.seed] = right[of_kind]
        cells = [(cell, seed) for cell, seeds in self._right.items() for seed in sorted(seeds)]
        right_CN = np.stack([self._right[cell][seed] for cell, seed in cells])
        self._shares = self._share_each(cells, right_CN, np.ones((1, self.num_questions), bool))

    def cells(self) -> list[Cell]:
        """Return the arms with their keep ratios and texts."""
        return list(self._right)

    def seeds(self, cell: Cell) -> list[int]:
        """Return the seeds of a cell; empty if it has not run."""
        return sorted(self._right.get(cell, ()))

    def accuracy(self, cell: Cell) -> Estimate | None:
        """Return the accuracy of a cell over all its seeds, in per cent; ``None`` if it has not run."""
        return estimate(self._shares[cell], self.draws) if cell in self._shares else None

    def common_seeds(self, cell: Cell, other: Cell) -> list[int]:
        """Return the seeds that two cells share."""
        return [seed for seed in self.seeds(cell) if seed in self.seeds(other)]

    def shared_words(self, cell: Cell, other: Cell) -> str:
        """Return on how many seeds two cells are compared, in words that follow a figure; empty if on all of them."""
        number = len(self.common_seeds(cell, other))
        fewer = any(len(self.seeds(each)) > number for each in (cell, other))
        return f" on {number} shared seed{'s' if number > 1 else ''}" if fewer else ""

    def mean(self, cell: Cell, seeds: Sequence[int]) -> float:
        """Return the accuracy of a cell over some of its seeds, in per cent, without an interval."""
        return self._of_seeds(cell, seeds).observed()

    def difference(self, cell: Cell, other: Cell) -> Estimate | None:
        """Return the accuracy of ``cell`` minus that of ``other``, in points, over the seeds that both have.

        ``None`` if they have none in common: two trainings from different starts are not a pair.
        """
        common = self.common_seeds(cell, other)
        if not common:
            return None
        return estimate_difference(self._of_seeds(cell, common), self._of_seeds(other, common), self.draws)

    def _of_seeds(self, cell: Cell, seeds: Sequence[int]) -> Share:
        return self._shares[cell].of([self.seeds(cell).index(seed) for seed in seeds])

    def split(self, cells: Sequence[Cell], right: Cell, wrong: Cell) -> Mapping[Cell, Split]:
        """Return the accuracy of cells where ``right`` is right and ``wrong`` is wrong with the same seed.

        The protocol of arXiv 2510.07143: right at full size, wrong after downsampling. Cells without a seed in common
        with both are left out.
        """
        both = set(self.seeds(right)) & set(self.seeds(wrong))
        pairs = [(cell, seed) for cell in cells for seed in self.seeds(cell) if seed in both]
        if not pairs:
            return {}
        asked_CN = np.stack([self._right[right][seed] & ~self._right[wrong][seed] for _, seed in pairs])
        right_CN = np.stack([self._right[cell][seed] for cell, seed in pairs]) & asked_CN
        shares = self._share_each(pairs, right_CN, asked_CN)
        splits = {cell: Split(estimate(share, self.draws), int(share.asked_S.sum())) for cell, share in shares.items()}
        for cell in splits.keys() & {right, wrong}:  # 100 and 0 by the choice of the questions, not by observation
            chosen = replace(splits[cell].accuracy, low=np.nan, high=np.nan)
            splits[cell] = replace(splits[cell], accuracy=chosen)
        return splits

    def _share_each(
        self, pairs: Sequence[tuple[Cell, int]], right_CN: NDArray[np.bool_], asked_CN: NDArray[np.bool_]
    ) -> dict[Cell, Share]:
        """Return the share of each cell; ``asked_CN`` may have one row for all."""
        right_CI, asked_CI = (
            sum_by_image(values, self.image_N, self._num_images_of_task) for values in (right_CN, asked_CN)
        )
        right_RC, asked_RC = self.draws.sums(right_CI), self.draws.sums(asked_CI)
        asked_RC = np.broadcast_to(asked_RC, right_RC.shape)
        right_C = right_CN.sum(1).astype(float)
        asked_C = np.broadcast_to(asked_CN.sum(1).astype(float), right_C.shape)
        images_C = np.broadcast_to((asked_CI > 0).sum(1).astype(float), right_C.shape)
        columns: dict[Cell, list[int]] = defaultdict(list)
        for index, (cell, _) in enumerate(pairs):
            columns[cell].append(index)
        return {
            cell: Share(right_C[at], asked_C[at], images_C[at], right_RC[:, at], asked_RC[:, at])
            for cell, at in columns.items()
        }


def images_of(verdicts: Verdicts) -> dict[str, int]:
    """Return the images of a task with their positions."""
    return {image: i for i, image in enumerate(sorted({image for image, _ in verdicts.questions.values()}))}
