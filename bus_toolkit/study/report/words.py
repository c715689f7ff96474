"""Sentences that every report of a study has: how its columns are counted, and what it ran on."""

from __future__ import annotations

from collections.abc import Sequence

from bus_toolkit.study.report.bootstrap import DRAWS
from bus_toolkit.study.report.curves import RISING
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.settings import ReportSettings


def how_to_read(settings: ReportSettings) -> list[str]:
    """Return how the columns are counted."""
    reference = settings.shown(settings.reference)
    lines = [
        f"Accuracies are means over the seeds on test; intervals are 95 % (percentiles of {DRAWS:,} paired bootstrap "
        "draws of images and, where there are several, of seeds; where all images agree, what so many cannot "
        "exclude, by the rule of three). Three seeds show the spread between trainings roughly at best.",
        f"Differences are to {reference}, on the same questions and seeds.",
        "Keep is the ratio of the reference; every other arm is set so that the whole model has the same MACs. MMAC a "
        "question: million MACs of one text with one image, counted; off target: by how many per cent they miss that; "
        "TMAC: 10^12 MACs, of the whole training.",
        f"Undertrained: the best validation in the last third of the steps is more than {RISING:g} point above the "
        "best one before (mean of the seeds; our rule).",
        "Under another text: the selection reads the text of another sample at test, question and answer stay.",
    ]
    lines += [
        f"{task}: a query counts as answered if one of its right answers is among the first {rank} (R@{rank})."
        for task, rank in settings.recall_at.items()
    ]
    if settings.unpruned and settings.smaller_image:
        full, small = settings.shown(settings.unpruned), settings.shown(settings.smaller_image)
        lines.append(
            f"Lost by downsampling: accuracy on the questions that {full} answers rightly and {small} wrongly with the "
            f"same seed and MACs, and how many there are (protocol of arXiv 2510.07143). By this choice {full} has 100 "
            f"there and {small} 0."
        )
    return lines


def machines(panels: Sequence[Panel]) -> list[str]:
    """Return what the runs ran on."""
    runs = {run.key: run for panel in panels for row in panel.rows for run in row.runs}
    found: dict[str, int] = {}
    for run in runs.values():
        words = ", ".join(f"{key} {value}" for key, value in sorted(run.machine.items())) or "not recorded"
        found[words] = found.get(words, 0) + 1
    return [f"Machine of {count} runs: {words}." for words, count in sorted(found.items())]


def sizes(panels: Sequence[Panel]) -> list[str]:
    """Return how many questions each task has."""
    seen = {panel.name: panel.scores for panel in panels}
    return [f"{name}: {s.num_questions} questions about {s.num_images} images." for name, s in seen.items()]
