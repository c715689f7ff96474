"""Which arm to take for a kind of question at a keep ratio, and what it costs, said from the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bus_toolkit.study.report.cell_text import NOTHING, estimate_text, macs_text, tera_text
from bus_toolkit.study.report.columns import SEVERAL
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Role, Row
from bus_toolkit.study.report.scores import Cell
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.several import NEAR, SAME_COST, of_several, priced

_NAMED = 6


@dataclass(frozen=True)
class Advice:
    """What to take for the questions of one panel.

    Attributes:
        panel: Those questions.
        take: Of the arms that the interval cannot distinguish from the best one, the one that needs least: first no
            boxes, then no text, then no method, then fewer MACs (beyond what budgets are matched to), then the more
            accurate one (our order).
        best: The highest accuracy among the arms that may be chosen.
        ties: Arms whose difference to the best one has an interval that includes 0.
        several: What to weigh for several questions about each image: the most accurate arm, unpruned included, then
            only what costs less, down to 10 points below it (our bound). Empty if no shared cost is known.
    """

    panel: Panel
    take: Row
    best: Row
    ties: tuple[Row, ...]
    several: tuple[Row, ...]

    @property
    def others(self) -> list[str]:
        """Names of the arms that may be as good as the one to take."""
        return [row.shown for row in (self.best, *self.ties) if row is not self.take]


def advise(panel: Panel) -> Advice | None:
    """Return what to take; ``None`` if there are not two arms to choose from."""
    choices = [row for row in panel.rows if row.is_choice]
    if len(choices) < 2:
        return None
    best = choices[0]
    ties = tuple(row for row in choices[1:] if _is_tie(panel, best, row))
    dear = SAME_COST * min(row.macs for row in (best, *ties))
    take = min(
        (best, *ties),
        key=lambda row: (
            _learns_from_boxes(row),
            _reads_text(row),
            not _is_plain(row),
            row.macs > dear,
            -row.accuracy.mean,
        ),
    )
    return Advice(panel, take, best, ties, of_several(panel, choices))


def all_advice(panels: Sequence[Panel]) -> list[Advice]:
    """Return the advice for each panel that has any."""
    return [advice for advice in map(advise, panels) if advice is not None]


def advice_row(advice: Advice, settings: ReportSettings) -> list[str]:
    """Return the cells of the advice in a table with the heads ``ADVICE_HEADS``, not escaped."""
    panel, take = advice.panel, advice.take
    full = panel.unpruned
    words = _words(panel, settings)
    return [
        f"{panel.name}: {words}" if words else panel.name,
        f"{panel.keep:g} (1 token in {1 / panel.keep:.0f})",
        take.shown,
        estimate_text(take.accuracy),
        NOTHING if full is None else f"{full.accuracy.mean:.1f}",
        macs_text(take.macs) + ("" if full is None else f" ({take.macs / full.macs:.2f} of all tokens)"),
        _cost_of_several(take, full),
        priced(advice.several[-1]) if advice.several and advice.several[-1] is not take else NOTHING,
        "yes" if _reads_text(take) else "no",
        "yes" if _learns_from_boxes(take) else "no",
        _listed(advice.others) or "none",
    ]


ADVICE_HEADS = (
    "questions",
    "keep",
    "take",
    "accuracy, %",
    "accuracy of all tokens, %",
    "MMAC a question",
    f"MMAC, {SEVERAL} questions an image",
    f"cheapest for {SEVERAL} questions an image, at most {NEAR:g} points below the best",
    "reads the text",
    "selector learns from boxes",
    "may be as good",
)


def advice_text(advice: Advice, settings: ReportSettings) -> list[str]:
    """Return the advice in sentences; names are as the study has them, nothing is escaped."""
    panel, take = advice.panel, advice.take
    asked = _words(panel, settings) or _unworded(panel)
    sentences = [
        f"For {asked}, at keep {panel.keep:g} (about one token in {1 / panel.keep:.0f}): take {take.shown}. "
        f"It answers {estimate_text(take.accuracy)} % correctly and costs {macs_text(take.macs)} million MACs a "
        f"question"
        f"{_of_unpruned(panel, take)}; {_needs(take)}.",
        _sharing(panel, take),
    ]
    if advice.others:
        sentences.append(f"This study cannot say that it is better or worse than {_listed(advice.others)}.")
    if len(advice.several) > 1:
        sentences.append(
            f"With {SEVERAL} questions about each image, from accurate to cheap: "
            f"{'; '.join(map(priced, advice.several))}."
        )
    if _is_plain(take):
        sentences.append("No method is distinguishably better: selecting gains nothing here that this study can see.")
    choices = [row for row in panel.rows if row.is_choice and row is not take]
    named: dict[str, list[str]] = {}
    for words, fits in _ALTERNATIVES:
        row = next(filter(fits, choices), None)
        if row is not None and not fits(take):
            named.setdefault(_short(row), []).append(words)
    sentences += [f"The best {', '.join(words)}: {row}." for row, words in named.items()]
    if take.wrong_text is not None:
        chance = "" if panel.majority is None else f" (always the most frequent answer: {panel.majority:.1f} %)"
        sentences.append(f"While its selection reads another text: {estimate_text(take.wrong_text)} %{chance}.")
    if take.is_undertrained:
        sentences.append(f"{take.shown} was still improving when its training ended (undertrained).")
    return sentences


def _listed(names: Sequence[str]) -> str:
    """Return names, the first of very many; names may have commas."""
    more = len(names) - _NAMED
    return "; ".join(names) if more <= 1 else f"{'; '.join(names[:_NAMED])}; and {more} others"


def _words(panel: Panel, settings: ReportSettings) -> str:
    """Return what the questions of a panel ask for, and of which task; empty if the study does not say."""
    kind, task = settings.tasks.get(panel.kind, ""), settings.tasks.get(panel.task, "")
    return f"{kind} ({task})" if kind and task and panel.kind != panel.task else kind or task


def _unworded(panel: Panel) -> str:
    """Return how the questions of a panel are named where the study does not say what they ask for."""
    if panel.name == panel.task:
        return f"the questions of the task {panel.task}"
    return f"questions of the kind {panel.kind} (task {panel.task})"


def _is_plain(row: Row) -> bool:
    """Return whether an arm needs no method at all."""
    return row.role in (Role.BASELINE, Role.SMALLER_IMAGE)


def _is_tie(panel: Panel, best: Row, row: Row) -> bool:
    difference = panel.scores.difference(Cell(row.arm, row.keep), Cell(best.arm, best.keep))
    return difference is not None and difference.low <= 0 <= difference.high


def _learns_from_boxes(row: Row) -> bool:
    return bool(row.properties.get("learns_from_boxes"))


def _reads_text(row: Row) -> bool:
    return row.role is Role.TEXT_AWARE


_ALTERNATIVES: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("without reading the text", lambda row: not _reads_text(row)),
    ("without boxes for its selector", lambda row: not _learns_from_boxes(row)),
    ("of the baselines", lambda row: row.role is Role.BASELINE),
    ("with a smaller image", lambda row: row.role is Role.SMALLER_IMAGE),
)


def _of_unpruned(panel: Panel, row: Row) -> str:
    full = panel.unpruned
    if full is None:
        return ""
    share = f"{row.macs / full.macs:.2f} of {full.shown}, which reads all tokens and answers {full.accuracy.mean:.1f} %"
    return f" ({share})"


def _cost_of_several(row: Row, full: Row | None) -> str:
    other = full.macs_of(SEVERAL) if full is not None else None
    cost = macs_text(row.macs_of(SEVERAL))
    return cost if other is None else f"{cost} (all tokens: {macs_text(other)})"


def _needs(row: Row) -> str:
    """Return what a user must have to train and use an arm."""
    needs = ["it reads the text" if _reads_text(row) else "it does not read the text"]
    if _learns_from_boxes(row):
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
    if _reads_text(row):
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


def _short(row: Row) -> str:
    difference = ""
    if row.difference is not None:
        difference = f", {estimate_text(row.difference, signed=True)} points to the reference"
    late = ", undertrained" if row.is_undertrained else ""
    return f"{row.shown} ({estimate_text(row.accuracy)} %{difference}, {macs_text(row.macs)} million MACs{late})"
