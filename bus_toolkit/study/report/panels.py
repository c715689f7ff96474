"""Everything a table or a plot shows: one panel a kind of question and keep ratio, one row an arm."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bus_toolkit.study.report.bootstrap import DRAWS, ImageDraws
from bus_toolkit.study.report.curves import curve_of, is_undertrained, metric_key, time_to_quality
from bus_toolkit.study.report.guessing import is_guess, is_near_guess, majority_of
from bus_toolkit.study.report.rows import Row, role_of
from bus_toolkit.study.report.runs import Run, RunKey
from bus_toolkit.study.report.samples import OTHER, Verdicts
from bus_toolkit.study.report.scores import Cell, Scores, Split, images_of
from bus_toolkit.study.report.settings import ReportSettings


@dataclass(frozen=True)
class Panel:
    """One kind of question at one keep ratio.

    Attributes:
        task: The task.
        kind: The kind of question.
        name: Of both, as short as possible.
        keep: Keep ratio.
        rows: Best first.
        unpruned: The arm without reduction that others are measured by; ``None`` if it has not run.
        scores: For claims: any two arms.
    """

    task: str
    kind: str
    name: str
    keep: float
    rows: tuple[Row, ...]
    unpruned: Row | None
    scores: Scores

    def row(self, arm: str) -> Row | None:
        """Return the row of an arm; ``None`` if it has not run."""
        return next((row for row in self.rows if row.arm == arm), None)

    @property
    def majority(self) -> float | None:
        """How often the most frequent answer is right, in per cent; ``None`` if its metric has not been computed."""
        return majority_of((run for row in self.rows for run in row.runs), self.kind)


def make_panels(
    runs: Mapping[RunKey, Run], verdicts: Mapping[str, Verdicts], settings: ReportSettings, draws: int = DRAWS
) -> list[Panel]:
    """Return the panels of all tasks, kinds of question and keep ratios.

    Arms without a ratio are in the panels of all ratios.

    Args:
        runs: As committed.
        verdicts: As committed.
        settings: The arms' roles and names.
        draws: Of the bootstrap.
    """
    panels = []
    for task, of_task in verdicts.items():
        kinds = sorted({question.kind for question in of_task.questions})
        image_draws = ImageDraws(len(images_of(of_task)), draws)
        for kind in kinds:
            scores = Scores(of_task, kind, image_draws)
            name = task if len(kinds) == 1 else f"{task}: {kind}"
            keeps = sorted({cell.keep for cell in scores.cells()}, reverse=True)
            for keep in [keep for keep in keeps if keep < 1] or keeps:
                rows = _rows(task, kind, keep, scores, runs, settings)
                unpruned = next((row for row in rows if row.arm == settings.unpruned), None)
                panels.append(Panel(task, kind, name, keep, rows, unpruned, scores))
    return panels


def _rows(
    task: str, kind: str, keep: float, scores: Scores, runs: Mapping[RunKey, Run], settings: ReportSettings
) -> tuple[Row, ...]:
    cells = [cell for cell in scores.cells() if cell.keep in (keep, 1.0) and cell.text != OTHER]
    cells = [cell for cell in cells if all((task, cell.arm, cell.keep, seed) in runs for seed in scores.seeds(cell))]
    splits: Mapping[Cell, Split] = {}
    if settings.unpruned and settings.smaller_image:
        splits = scores.split(cells, Cell(settings.unpruned, 1.0), _cell_of(settings.smaller_image, keep, cells))
    of_cell = {cell: tuple(runs[task, cell.arm, cell.keep, seed] for seed in scores.seeds(cell)) for cell in cells}
    unpruned = of_cell.get(Cell(settings.unpruned, 1.0), ())
    majority = majority_of((run for own in of_cell.values() for run in own), kind)
    reference = _cell_of(settings.reference, keep, cells)
    rows = []
    for cell in cells:
        own = of_cell[cell]
        given = settings.metrics.get(kind, settings.metrics.get(task))
        key = metric_key({name for run in own for point in run.curve for name in point.val}, kind, given)
        accuracy = scores.accuracy(cell)
        assert accuracy is not None, "the cell is one of those that ran"
        is_reference = cell.arm == settings.reference
        compared = bool(unpruned) and cell.arm != settings.unpruned and settings.is_race(task)
        compared = compared and not _ends_near_guess(unpruned, key, majority)
        row = Row(
            arm=cell.arm,
            shown=settings.shown(cell.arm),
            role=role_of(cell.arm, cell.keep, own[0].properties, settings),
            keep=cell.keep,
            is_reference=is_reference,
            runs=own,
            accuracy=accuracy,
            difference=None if is_reference else scores.difference(cell, reference),
            wrong_text=scores.accuracy(cell._replace(text=OTHER)),
            split=splits.get(cell),
            is_undertrained=not is_guess(accuracy, majority) and is_undertrained([curve_of(run, key) for run in own]),
            time=time_to_quality(own, unpruned, key) if compared else None,
            curve_key=key,
        )
        rows.append(row)
    return tuple(sorted(rows, key=lambda row: (-row.accuracy.mean, row.arm)))


def _cell_of(arm: str, keep: float, cells: Sequence[Cell]) -> Cell:
    """Return an arm at a keep ratio, or without one where that is how it ran."""
    at_ratio = Cell(arm, keep)
    return at_ratio if at_ratio in cells else Cell(arm, 1.0)


def _ends_near_guess(unpruned: Sequence[Run], key: str | None, majority: float | None) -> bool:
    """Return whether the unpruned arm ended so near to guessing that there is no quality to race for."""
    ends = [curve[-1][1] for curve in (curve_of(run, key) for run in unpruned) if curve]
    return bool(ends) and is_near_guess(statistics.fmean(ends), majority)


def panels_at(panels: Sequence[Panel], keep: float | None) -> list[Panel]:
    """Return the panel of each kind of question at ``keep``, or at the kind's smallest ratio if there is none."""
    kept: dict[str, Panel] = {}
    for panel in sorted(panels, key=lambda panel: panel.keep):
        if panel.name not in kept or panel.keep == keep:
            kept[panel.name] = panel
    return [kept[name] for name in dict.fromkeys(panel.name for panel in panels)]


def matching(panels: Sequence[Panel], task: str, kind: str, keep: float) -> list[Panel]:
    """Return the panels of a task at a keep ratio, of all its kinds of questions if ``kind`` is empty."""
    return [panel for panel in panels if panel.task == task and panel.keep == keep and kind in ("", panel.kind)]
