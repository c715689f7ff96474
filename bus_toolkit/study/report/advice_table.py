"""The table of what to take, and the lists beside it."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.study.report.advice import Advice, Verdict, learns_from_boxes, reads_text
from bus_toolkit.study.report.cell_text import NOTHING, macs_text
from bus_toolkit.study.report.columns import SEVERAL
from bus_toolkit.study.report.guessing import NEAR_GUESSING, accuracy_text, percent_text
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.several import NEAR, SAME_COST, priced

_NAMED = 6
_CHEAPEST = f"cheapest at {SEVERAL} questions an image"
_ITSELF = "the arm to take"
ADVICE_HEADS = (
    "questions",
    "keep",
    "take",
    "accuracy, %",
    "accuracy of all tokens, %",
    "MMAC a question",
    f"MMAC, {SEVERAL} questions an image",
    _CHEAPEST,
    "reads the text",
    "selector learns from boxes",
    "may be as good",
)
_NO_METHOD = "No method is distinguishably better, so none is needed:"
_NOTHING_LEARNT = (
    f"Not even all tokens are more than {NEAR_GUESSING:g} points above always giving the most frequent answer, so "
    "there is nothing to choose by:"
)


def advice_rows(advised: Sequence[Advice]) -> list[list[str]]:
    """Return the cells of each advice to take a method, with the heads ``ADVICE_HEADS``, not escaped."""
    return [_row(advice) for advice in advised if advice.verdict is Verdict.METHOD]


def _row(advice: Advice) -> list[str]:
    panel, take = advice.panel, advice.take
    full = panel.unpruned
    return [
        panel.name,
        f"{panel.keep:g} (1 token in {1 / panel.keep:.0f})",
        take.shown,
        accuracy_text(take.accuracy, panel.majority),
        NOTHING if full is None else f"{full.accuracy.mean:.1f}",
        macs_text(take.macs) + ("" if full is None else f" ({take.macs / full.macs:.2f} of all tokens)"),
        _cost_of_several(take, full),
        _cheapest(advice),
        "yes" if reads_text(take) else "no",
        "yes" if learns_from_boxes(take) else "no",
        listed(advice.others) or "none",
    ]


def lists_without_method(advised: Sequence[Advice]) -> list[tuple[str, list[str]]]:
    """Return the kinds of questions for which there is no method to take: why, and a line a kind."""
    heads = ((Verdict.NO_METHOD, _NO_METHOD), (Verdict.NOTHING_LEARNT, _NOTHING_LEARNT))
    lists = [(head, _lines([each for each in advised if each.verdict is verdict])) for verdict, head in heads]
    return [(head, lines) for head, lines in lists if lines]


def _lines(advised: Sequence[Advice]) -> list[str]:
    lines: dict[str, list[str]] = {}
    for advice in advised:
        take, panel = advice.take, advice.panel
        figures = f"{percent_text(take.accuracy, panel.majority)}, {macs_text(take.macs)} million MACs"
        lines.setdefault(panel.name, []).append(f"at keep {panel.keep:g} {take.shown} ({figures})")
    return [f"{name}: {'; '.join(takes)}." for name, takes in lines.items()]


def definitions(advised: Sequence[Advice], settings: ReportSettings) -> list[str]:
    """Return what the table's kinds and tasks ask for, each once, and what its columns mean."""
    names = [advice.panel.kind for advice in advised] + [advice.panel.task for advice in advised]
    lines = [f"{name}: {settings.tasks[name]}." for name in dict.fromkeys(names) if name in settings.tasks]
    cells = [cell for row in advice_rows(advised) for cell in row]
    if cells:
        lines.append(
            f"{_CHEAPEST.capitalize()}: of the arms at most {NEAR:g} points below the most accurate one, all tokens "
            f"included, the one that costs least where each image has {SEVERAL} questions; costs within "
            f"{100 * (SAME_COST - 1):.0f} % count as equal."
        )
    if NOTHING in cells:
        lines.append("A dash: there is no arm with all tokens, or what questions share was not counted.")
    return lines


def listed(names: Sequence[str]) -> str:
    """Return names, the first of very many; names may have commas."""
    more = len(names) - _NAMED
    return "; ".join(names) if more <= 1 else f"{'; '.join(names[:_NAMED])}; and {more} others"


def _cost_of_several(row: Row, full: Row | None) -> str:
    other = full.macs_of(SEVERAL) if full is not None else None
    cost = macs_text(row.macs_of(SEVERAL))
    return cost if other is None else f"{cost} (all tokens: {macs_text(other)})"


def _cheapest(advice: Advice) -> str:
    """Return the cheapest arm for several questions an image; the one to take if it is near and none costs less."""
    if not advice.several:
        return NOTHING
    cheapest = advice.several[-1]
    own, least = advice.take.macs_of(SEVERAL), cheapest.macs_of(SEVERAL)
    is_near = advice.take.accuracy.mean >= advice.several[0].accuracy.mean - NEAR
    is_same = is_near and own is not None and least is not None and own <= SAME_COST * least
    return _ITSELF if is_same else priced(cheapest)
