"""The advice for one kind of question in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bus_toolkit.study.report.advice import Advice, learns_from_boxes, reads_text
from bus_toolkit.study.report.advice_table import listed
from bus_toolkit.study.report.cell_text import estimate_text, macs_text, tera_text
from bus_toolkit.study.report.columns import SEVERAL
from bus_toolkit.study.report.guessing import GUESSING, is_guess, percent_text
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Role, Row
from bus_toolkit.study.report.scores import Cell
from bus_toolkit.study.report.several import priced


def advice_text(advice: Advice) -> list[str]:
    """Return the advice in sentences; names are as the study has them, nothing is escaped."""
    panel, take = advice.panel, advice.take
    sentences = [
        f"{panel.name}, keep {panel.keep:g} (about one token in {1 / panel.keep:.0f}): take {take.shown}. "
        f"It answers {estimate_text(take.accuracy)} % correctly and costs {macs_text(take.macs)} million MACs a "
        f"question{_of_unpruned(panel, take)}; {_needs(take)}.",
        _sharing(panel, take),
    ]
    if advice.others:
        sentences.append(f"This study cannot say that it is better or worse than {listed(advice.others)}.")
    if len(advice.several) > 1:
        sentences.append(
            f"With {SEVERAL} questions about each image, from accurate to cheap: "
            f"{'; '.join(map(priced, advice.several))}."
        )
    sentences += _alternatives(panel, take)
    if take.wrong_text is not None:
        guess = f"{GUESSING}; " if is_guess(take.wrong_text, panel.majority) else ""
        chance = "" if panel.majority is None else f" ({guess}always the most frequent answer: {panel.majority:.1f} %)"
        sentences.append(f"While its selection reads another text: {estimate_text(take.wrong_text)} %{chance}.")
    if take.is_undertrained:
        sentences.append(f"{take.shown} was still improving when its training ended (undertrained).")
    return sentences


_ALTERNATIVES: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("without reading the text", lambda row: not reads_text(row)),
    ("without boxes for its selector", lambda row: not learns_from_boxes(row)),
    ("of the baselines", lambda row: row.role is Role.BASELINE),
    ("with a smaller image", lambda row: row.role is Role.SMALLER_IMAGE),
)


def _alternatives(panel: Panel, take: Row) -> Iterator[str]:
    """Yield the best arms of other kinds, an arm a sentence."""
    choices = [row for row in panel.rows if row.is_choice and row is not take]
    named: dict[str, list[str]] = {}
    for words, fits in _ALTERNATIVES:
        row = next(filter(fits, choices), None)
        if row is not None and not fits(take):
            named.setdefault(_compared(panel, row, take), []).append(words)
    yield from (f"The best {', '.join(words)}: {row}." for row, words in named.items())


def _compared(panel: Panel, row: Row, take: Row) -> str:
    """Return an arm with its figures and its difference to the one to take, over the seeds that both have."""
    cells = Cell(row.arm, row.keep), Cell(take.arm, take.keep)
    difference = panel.scores.difference(*cells)
    figures = [percent_text(row.accuracy, panel.majority)]
    if difference is not None:
        shared = panel.scores.shared_words(*cells)
        figures.append(f"{estimate_text(difference, signed=True)} points to {take.shown}{shared}")
    figures.append(f"{macs_text(row.macs)} million MACs")
    figures += ["undertrained"] if row.is_undertrained else []
    return f"{row.shown} ({', '.join(figures)})"


def _of_unpruned(panel: Panel, row: Row) -> str:
    full = panel.unpruned
    if full is None:
        return ""
    share = f"{row.macs / full.macs:.2f} of {full.shown}, which reads all tokens and answers {full.accuracy.mean:.1f} %"
    return f" ({share})"


def _needs(row: Row) -> str:
    """Return what a user must have to train and use an arm."""
    needs = ["it reads the text" if reads_text(row) else "it does not read the text"]
    if learns_from_boxes(row):
        needs.append("its selector learns from boxes")
    elif row.properties.get("boxes_in_training"):
        needs.append("a loss of its training reads boxes")
    if row.steps:
        needs.append(f"it was trained for {row.steps:.0f} steps ({tera_text(row.training_macs)} TMAC)")
    else:
        needs.append("nothing was trained")
    return ", ".join(needs)


def _sharing(panel: Panel, row: Row) -> str:
    """Return what several questions about one image share."""
    first = row.properties.get("blocks")
    if reads_text(row):
        until = f" up to block {first}" if first else " before the selector"
        shared = f"{row.shown}: of several questions about one image, only the work{until} is shared"
    else:
        shared = f"{row.shown}: several questions about one image share all of the image's work"
    cost = row.macs_of(SEVERAL)
    if cost is None:
        return f"{shared}."
    words = f"{shared}: {macs_text(cost)} million MACs each for {SEVERAL} questions"
    full = panel.unpruned
    other = full.macs_of(SEVERAL) if full is not None else None
    if full is None or other is None:
        return f"{words}."
    less = f", which is not less than {full.shown} with {macs_text(other)}" if other <= cost else ""
    return f"{words}{less or f' ({full.shown}: {macs_text(other)})'}."
