"""Sentences that every report of a study has: how its columns are counted, and what it ran on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bus_toolkit.study.report.bootstrap import DRAWS
from bus_toolkit.study.report.curves import RISING
from bus_toolkit.study.report.guessing import GUESSING, NEAR_GUESSING
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.settings import ReportSettings


def defined(words: Mapping[str, str]) -> list[str]:
    """Return words with what they mean, a sentence each."""
    return [f"{word}: {meaning}." for word, meaning in words.items()]


def how_to_read(settings: ReportSettings) -> list[str]:
    """Return how the columns are counted."""
    reference = settings.shown(settings.reference)
    lines = [
        f"Accuracies are means over the seeds on test; intervals are 95 % (percentiles of {DRAWS:,} paired bootstrap "
        "draws of images and, where there are several, of seeds; where all images agree, what so many cannot "
        "exclude, by the rule of three). Three seeds show the spread between trainings roughly at best. No interval is "
        "corrected for the number of comparisons.",
        f"Differences are to the reference, {reference}, on the same questions and seeds; where one of the two has "
        "more seeds, their accuracies, which are means over all of them, need not subtract to it.",
        "MMAC a question: million multiply-adds of one text with one image, counted; with several questions an image "
        "each bears its part of what they share. Off target: by how many per cent an arm misses the cost of the "
        "reference. TMAC: 10^12 multiply-adds, of the whole training.",
        "Tokens: visual tokens after the last block, or after the decoder of an arm that has one; the global and the "
        "fused one are included. An arm whose selection "
        "costs little, or that drops later, keeps more of them at the same cost.",
        "What it is: reads the text (the selection sees it), text-free (it sees the image alone), baseline "
        "(it sees neither), smaller image (all tokens of fewer pixels), oracle (it selects by the true boxes, which no "
        "user has; it is no bound on the accuracy), all tokens (unpruned).",
        "Which to take: of the arms whose difference to the best one may be 0, the one that needs least: no boxes for "
        "its selector, then no text, then no method, then fewer MACs; else the most accurate (our order).",
        f"Undertrained: the best validation in the last third of the steps is more than {RISING:g} point above the "
        "best one before (mean of the seeds; our rule).",
        f"{GUESSING.capitalize()}: the interval reaches down to the share of the most frequent answer. Such an arm is "
        f"not called undertrained, and no time to a quality within {NEAR_GUESSING:g} points of that share is shown.",
        "A dash: was not measured, or there is nothing to measure (a cost without a target, another text for a "
        "selection that reads none).",
        "Under another text: the selection reads the text of another sample at test, question and answer stay.",
        "Learning curves: the point at step 0 is the arm on the weights that it starts from, before any training.",
    ]
    lines += [
        f"{task}: a query counts as answered if one of its right answers is among the first {rank} (R@{rank})."
        for task, rank in settings.recall_at.items()
    ]
    if settings.unpruned and settings.smaller_image:
        full, small = settings.shown(settings.unpruned), settings.shown(settings.smaller_image)
        lines.append(
            f"Where a smaller image fails: accuracy on the questions that {full} answers correctly and {small} does "
            "not, with the same seed and MACs, and how many there are (protocol of arXiv 2510.07143). By this choice "
            f"{full} has 100 there and {small} 0."
        )
    return lines


def in_short(panels: Sequence[Panel], settings: ReportSettings) -> list[str]:
    """Return what a reader needs before the first table."""
    reference = settings.shown(settings.reference)
    lines = [
        "An arm is a way to spend less on visual tokens: a selector, a merger, a pooling, a smaller image. Keep is the "
        f"share of visual tokens that {reference} keeps; every other arm is set so that the whole model costs the same "
        f"(multiply-adds, MACs{_farthest(panels)}), so its own number of tokens differs.",
        "Accuracies are in per cent on test, with 95 % intervals in brackets.",
    ]
    seeds = {(panel.task, row.arm, row.keep): len(row.runs) for panel in panels for row in panel.rows}
    single = sum(number == 1 for number in seeds.values())
    if single:
        which = "All arms" if single == len(seeds) else f"{single} of {len(seeds)} arms (by task and ratio)"
        lines.append(
            f"{which} were trained once (one seed): their intervals say what other images would change, not what "
            "another training would, which can be more."
        )
    return lines


def _farthest(panels: Sequence[Panel]) -> str:
    """Return by how much an arm misses the cost at most, rounded up; empty if no arm has a target."""
    rows = [(abs(row.deviation), row, panel) for panel in panels for row in panel.rows if row.deviation is not None]
    if not rows:
        return ""
    off, row, panel = max(rows, key=lambda each: each[0])
    farthest = f"{row.shown}, {panel.task}, keep {row.keep:g}"
    return f": within {math.ceil(round(10 * off, 6)) / 10:.1f} %, the farthest is {farthest}"


def of_your_own(settings: ReportSettings) -> tuple[str, str, str]:
    """Return how a reader adds a selector: a sentence, a study's YAML, commands."""
    return (
        "Register the selector in a module, write a study that is based on this one, train it, and collect the results "
        "of both: it then has a row beside all arms of this page, at the same cost. In a new folder the start is "
        "trained first. More: tools/README.md, section Studies.",
        f"_base_: {settings.name}.yaml        # the path of this study\nplugins: [my_plugin]\n"
        "arms: [{selector: {type: MySelector, blocks: [1]}}]",
        f"bus-toolkit study my_study.yaml --out work_dirs/{settings.name} --only '*/MySelector'\n"
        f"bus-toolkit study-report my_study.yaml --collect RESULTS work_dirs/{settings.name}    # RESULTS: this folder",
    )


def machines(panels: Sequence[Panel]) -> list[str]:
    """Return what the runs ran on."""
    runs = {run.key: run for panel in panels for row in panel.rows for run in row.runs}
    found: dict[str, int] = {}
    for run in runs.values():
        words = ", ".join(f"{key} {value}" for key, value in sorted(run.machine.items())) or "not recorded"
        found[words] = found.get(words, 0) + 1
    return [f"Machine of {count} runs: {words}." for words, count in sorted(found.items())]


def sizes(panels: Sequence[Panel]) -> list[str]:
    """Return how many questions each kind has, and what knowing nothing is worth there; a line for those alike."""
    alike: dict[str, list[str]] = {}
    for name, panel in {panel.name: panel for panel in panels}.items():
        chance = panel.majority
        words = "" if chance is None else f"; the most frequent answer is right for {chance:.1f} % of them"
        size = f"{panel.scores.num_questions} questions about {panel.scores.num_images} images{words}"
        alike.setdefault(size, []).append(name)
    return [f"{size}: {'; '.join(names)}." for size, names in alike.items()]
