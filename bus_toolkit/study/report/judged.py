"""Claims against results: met, met on average, missed or without a verdict, with the figures that say so."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bus_toolkit.study.report.bootstrap import Estimate
from bus_toolkit.study.report.cell_text import macs_text
from bus_toolkit.study.report.claims import Claim, ClaimKind
from bus_toolkit.study.report.panels import Panel, matching
from bus_toolkit.study.report.samples import OTHER
from bus_toolkit.study.report.scores import Cell, Scores
from bus_toolkit.study.report.settings import ReportSettings


class Outcome(Enum):
    """What became of a claim, worst first; those without a verdict last."""

    MISSED = "missed"
    ON_AVERAGE = "met on average only"
    """The value meets it, its interval does not."""
    MET = "met"
    NOT_RUN = "no verdict"


@dataclass(frozen=True)
class Judged:
    """A claim with its outcome and the figures in words."""

    claim: Claim
    outcome: Outcome
    figures: str


def judge_claims(panels: Sequence[Panel], settings: ReportSettings) -> list[Judged]:
    """Return all claims, the missed ones first."""
    judged = [judge_claim(claim, panels, settings) for claim in settings.claims]
    order = list(Outcome)
    return sorted(judged, key=lambda each: order.index(each.outcome))


def judge_claim(claim: Claim, panels: Sequence[Panel], settings: ReportSettings) -> Judged:
    """Return what became of a claim."""
    fitting = matching(panels, claim.task, claim.question_kind, claim.keep)
    if fitting and claim.kind is ClaimKind.COST:  # the same for all kinds of questions
        return _judge_cost(claim, fitting[0], settings)
    if len(fitting) != 1:
        kinds = ", ".join(p.kind for p in fitting)
        why = f"the claim must give kind, one of {kinds}" if fitting else "its task has not run at this keep ratio"
        return Judged(claim, Outcome.NOT_RUN, why)
    if claim.kind is ClaimKind.TIME:
        return _judge_time(claim, fitting[0])
    return _judge_difference(claim, fitting[0], settings)


def _judge_difference(claim: Claim, panel: Panel, settings: ReportSettings) -> Judged:
    cells = []
    for arm in (claim.arm, claim.other):
        row = panel.row(arm)
        if row is None:
            return Judged(claim, Outcome.NOT_RUN, f"{settings.shown(arm)} has not run")
        cells.append(Cell(arm, row.keep))
    if claim.is_under_other_text:
        cells[0] = cells[0]._replace(text=OTHER)
    difference = panel.scores.difference(*cells)
    if difference is None:
        missing = "no seed in common" if panel.scores.seeds(cells[0]) else "no run under another text"
        return Judged(claim, Outcome.NOT_RUN, missing)
    return Judged(claim, _outcome(claim, difference), _figures(panel.scores, cells, difference))


def _figures(scores: Scores, cells: Sequence[Cell], difference: Estimate) -> str:
    """Return the accuracies over the seeds that the difference is over, so that they subtract, and the difference."""
    common = scores.common_seeds(*cells)
    first, second = (scores.mean(cell, common) for cell in cells)
    return (
        f"{first:.1f} against {second:.1f}{scores.shared_words(*cells)}, difference {difference.mean:+.1f} points "
        f"[{difference.low:+.1f}, {difference.high:+.1f}]"
    )


def _outcome(claim: Claim, difference: Estimate) -> Outcome:
    """Compare what is worst in the interval, and the mean, to the bound."""
    if claim.kind is ClaimKind.ABOVE:
        mean, worst = -difference.mean, -difference.low
        bound = -claim.bound
    elif claim.kind in (ClaimKind.WITHIN, ClaimKind.WRONG_WITHIN):
        mean, worst = abs(difference.mean), max(abs(difference.low), abs(difference.high))
        bound = claim.bound
    else:
        mean, worst, bound = difference.mean, difference.high, claim.bound
    if not mean <= bound:
        return Outcome.MISSED
    return Outcome.MET if worst <= bound else Outcome.ON_AVERAGE


def _judge_cost(claim: Claim, panel: Panel, settings: ReportSettings) -> Judged:
    """Costs are counted, so they have no interval."""
    costs = []
    for arm in (claim.arm, claim.other):
        row = panel.row(arm)
        cost = row.macs_of(claim.questions) if row is not None else None
        if cost is None:
            return Judged(
                claim, Outcome.NOT_RUN, f"{settings.shown(arm)} has not run, or its shared cost was not counted"
            )
        costs.append(cost)
    ratio = costs[0] / costs[1]
    figures = f"{macs_text(costs[0])} against {macs_text(costs[1])} million MACs, x {ratio:.2f}"
    return Judged(claim, Outcome.MET if ratio <= claim.bound else Outcome.MISSED, figures)


def _judge_time(claim: Claim, panel: Panel) -> Judged:
    """A time is met if every seed meets it, met on average if the mean of the seeds that got there does."""
    row = panel.row(claim.arm)
    if row is None or row.time is None or not row.time.seeds:
        return Judged(
            claim,
            Outcome.NOT_RUN,
            "no curves with the seed of an unpruned arm that still learned, and more than to guess",
        )
    # Seconds, unless a seed that reached the quality did so on another machine than the unpruned arm.
    is_timed = len(row.time.seconds) == len(row.time.macs)
    ratios = row.time.seconds if is_timed else row.time.macs
    unit = "wall time" if is_timed else "MACs (the machines differ)"
    reached = f"reached by {len(ratios)} of {len(row.time.seeds)} seeds"
    if not ratios:
        return Judged(
            claim,
            Outcome.MISSED,
            f"the unpruned arm's end quality was not reached by any of {len(row.time.seeds)} seeds",
        )
    mean = statistics.fmean(ratios.values())
    least, most = f"{min(ratios.values()):.2f}", f"{max(ratios.values()):.2f}"
    spread = "" if least == most else f" ({least} to {most})"
    figures = f"{mean:.2f} of the unpruned arm's {unit}{spread}, {reached}"
    everywhere = len(ratios) == len(row.time.seeds) and max(ratios.values()) <= claim.bound
    if everywhere:
        return Judged(claim, Outcome.MET, figures)
    on_average = mean <= claim.bound and len(ratios) == len(row.time.seeds)
    return Judged(claim, Outcome.ON_AVERAGE if on_average else Outcome.MISSED, figures)
