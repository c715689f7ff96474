"""Rows, splits and claims of a generated study whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus_toolkit.study.report.advice import advise
from bus_toolkit.study.report.bootstrap import ImageDraws
from bus_toolkit.study.report.cell_text import estimate_text
from bus_toolkit.study.report.claims import Claim, ClaimKind
from bus_toolkit.study.report.columns import marks
from bus_toolkit.study.report.judged import Judged, Outcome, judge_claims
from bus_toolkit.study.report.markdown_tables import claims_list, panel_table, short_tables, times_table
from bus_toolkit.study.report.panels import Panel, make_panels, panels_at
from bus_toolkit.study.report.rows import Role, Row, role_of
from bus_toolkit.study.report.runs import read_runs, run_of
from bus_toolkit.study.report.samples import OTHER, OWN, Column, Question, Verdicts, read_verdicts
from bus_toolkit.study.report.scores import Cell, Scores
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.words import in_short, sizes
from tests.study.report.fake_study import panel_of


def test_there_is_a_panel_for_each_kind_and_ratio_with_the_arms_that_have_none(panels: list[Panel]) -> None:
    assert [(p.name, p.keep) for p in panels] == [
        *(("attribute", 0.25), ("attribute", 0.11), ("control", 0.25), ("control", 0.11))
    ]
    panel = panels[1]
    assert {row.arm for row in panel.rows} == {"full", "text-aware", "EViT", "random", "smaller image", "oracle"}
    roles = {row.arm: row.role for row in panel.rows}
    assert roles["full"] is Role.UNPRUNED and roles["oracle"] is Role.CEILING and roles["EViT"] is Role.TEXT_FREE
    assert roles["text-aware"] is Role.TEXT_AWARE and roles["random"] is Role.BASELINE
    assert [p.keep for p in panels_at(panels, 0.25)] == [0.25, 0.25]
    assert [p.keep for p in panels_at(panels, 0.5)] == [0.11, 0.11]


def test_rows_have_the_truth_in_their_intervals(panels: list[Panel]) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    truth = {"full": 99, "text-aware": 97, "EViT": 60, "random": 42, "smaller image": 30}
    for arm, value in truth.items():
        row = panel.row(arm)
        assert row is not None and row.accuracy.low - 1 < value < row.accuracy.high + 1
    row = panel.row("random")
    assert row is not None and row.difference is not None and -65 < row.difference.mean < -45
    reference = panel.row("text-aware")
    assert reference is not None and reference.is_reference and reference.difference is None
    assert reference.wrong_text is not None and 18 < reference.wrong_text.mean < 32
    assert reference.deviation == pytest.approx(100 * (130_800_000 / 131_800_000 - 1)) and reference.tokens == 16
    assert reference.is_undertrained is False and reference.macs_of(8) is None


def test_a_reference_and_a_smaller_image_without_ratios_are_compared_to(
    study: tuple[Path, Path, Path], settings: ReportSettings
) -> None:
    runs, verdicts = read_runs(study[2]), read_verdicts(study[2])
    settings = replace(settings, reference="full", smaller_image="full", unpruned="full")
    row = panel_of(make_panels(runs, verdicts, settings, draws=50), "attribute", 0.11).row("random")
    assert row is not None and row.difference is not None and -65 < row.difference.mean < -45
    assert row.split is not None and row.split.num_questions == 0


def test_the_split_is_the_accuracy_where_one_is_right_and_the_other_wrong() -> None:
    """Four questions by hand: asked are those that full has right and the smaller image wrong, 0 and 2."""
    questions = {Question("x", str(i)): (str(i), None) for i in range(4)}
    right = {"full": [1, 1, 1, 0], "small": [0, 1, 0, 0], "ours": [1, 0, 0, 1]}
    columns = {Column(arm, 0.1, 0, OWN): np.array(values, bool) for arm, values in right.items()}
    columns[Column("alone", 0.1, 5, OWN)] = np.ones(4, bool)
    scores = Scores(Verdicts(questions, columns), "x", ImageDraws(4, draws=100))
    cells = {arm: Cell(arm, 0.1) for arm in (*right, "alone")}
    splits = scores.split(list(cells.values()), cells["full"], cells["small"])
    assert splits[cells["ours"]].num_questions == 2 and splits[cells["ours"]].accuracy.mean == 50.0
    assert estimate_text(splits[cells["full"]].accuracy) == "100.0", "by the choice of the questions: no interval"
    assert estimate_text(splits[cells["small"]].accuracy) == "0.0" and cells["alone"] not in splits
    assert scores.difference(cells["ours"], cells["alone"]) is None, "no seed in common"
    assert scores.accuracy(Cell("ours", 0.1, OTHER)) is None


def test_the_work_that_questions_share_is_counted_once(panels: list[Panel]) -> None:
    row = panels[0].rows[0]
    shared = replace(row, runs=tuple(replace(run, macs=100.0, shared_macs=80.0) for run in row.runs))
    assert shared.macs_of(1) == 100.0 and shared.macs_of(8) == 30.0


def claim(**changes: object) -> Claim:
    given = Claim("so it is", ClaimKind.ABOVE, "attribute", "", 0.11, "text-aware", "random", 10.0)
    return replace(given, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "outcome", "figures"),
    [
        ({}, Outcome.MET, "difference +5"),
        ({"bound": 70.0}, Outcome.MISSED, "difference +5"),
        ({"kind": ClaimKind.WITHIN, "task": "control", "bound": 0.0}, Outcome.MISSED, "points"),
        ({"kind": ClaimKind.WITHIN, "task": "control", "bound": 15.0}, Outcome.MET, "points"),
        ({"kind": ClaimKind.WRONG_TEXT, "bound": 0.0}, Outcome.MET, "difference -1"),
        ({"kind": ClaimKind.WRONG_WITHIN, "other": "text-aware", "bound": 50.0}, Outcome.MISSED, "difference -6"),
        ({"kind": ClaimKind.WRONG_WITHIN, "other": "text-aware", "bound": 90.0}, Outcome.MET, "difference -6"),
        ({"kind": ClaimKind.WRONG_TEXT, "arm": "EViT"}, Outcome.NOT_RUN, "no run under another text"),
        ({"other": "nobody"}, Outcome.NOT_RUN, "nobody has not run"),
        ({"keep": 0.5}, Outcome.NOT_RUN, "its task has not run at this keep ratio"),
        ({"kind": ClaimKind.TIME, "other": "", "bound": 0.5}, Outcome.MISSED, "not reached by any of 2 seeds"),
        ({"kind": ClaimKind.TIME, "arm": "oracle", "bound": 0.5}, Outcome.MET, "wall time"),
        ({"kind": ClaimKind.TIME, "arm": "oracle", "bound": 0.01}, Outcome.MISSED, "reached by 2 of 2 seeds"),
        ({"kind": ClaimKind.TIME, "arm": "full"}, Outcome.NOT_RUN, "no curves"),
    ],
)
def test_claims_are_judged(
    panels: list[Panel], settings: ReportSettings, changes: dict, outcome: Outcome, figures: str
) -> None:
    (judged,) = judge_claims(panels, replace(settings, claims=(claim(**changes),)))
    assert judged.outcome is outcome and figures in judged.figures


def test_figures_of_a_claim_are_over_shared_seeds_so_that_they_subtract(settings: ReportSettings) -> None:
    """Seed 0: 3 of 4 right against 1 of 4; seed 1 of one arm, 0 of 4, counts neither in the mean nor in the rest."""
    questions = {Question("x", str(i)): (str(i), None) for i in range(4)}
    right = {("text-aware", 0): [1, 1, 1, 0], ("text-aware", 1): [0, 0, 0, 0], ("random", 0): [1, 0, 0, 0]}
    columns = {Column(arm, 0.11, seed, OWN): np.array(values, bool) for (arm, seed), values in right.items()}
    line = {"keep": 0.11, "task": "x", "macs": {"inference": 1}}
    runs = {run.key: run for arm, seed in right for run in [run_of({**line, "arm": arm, "seed": seed}, arm)]}
    panels = make_panels(runs, {"x": Verdicts(questions, columns)}, settings, draws=50)
    (judged,) = judge_claims(panels, replace(settings, claims=(claim(task="x"),)))
    assert judged.figures.startswith("75.0 against 25.0 on 1 shared seed, difference +50.0 points [")


def test_two_arms_that_agree_everywhere_are_as_near_as_so_many_images_show(settings: ReportSettings) -> None:
    """80 images exclude differences beyond 4.5 points, so arms without any mistake are not known to be within 3."""
    questions = {Question("control", str(i)): (str(i), None) for i in range(80)}
    columns = {Column(arm, 0.11, 0, OWN): np.ones(80, bool) for arm in ("text-aware", "random")}
    line = {"keep": 0.11, "seed": 0, "task": "control", "macs": {"inference": 1}}
    runs = {run.key: run for arm in ("text-aware", "random") for run in [run_of({**line, "arm": arm}, arm)]}
    panels = make_panels(runs, {"control": Verdicts(questions, columns)}, settings, draws=50)
    within = claim(kind=ClaimKind.WITHIN, task="control")
    judged = judge_claims(panels, replace(settings, claims=tuple(replace(within, bound=each) for each in (3.0, 5.0))))
    assert [each.outcome for each in judged] == [Outcome.ON_AVERAGE, Outcome.MET]
    assert judged[0].figures == "100.0 against 100.0, difference +0.0 points [-4.5, +4.5]"


def test_a_claim_that_only_the_mean_meets_says_so(panels: list[Panel], settings: ReportSettings) -> None:
    (judged,) = judge_claims(panels, replace(settings, claims=(claim(),)))
    mean = float(judged.figures.split("difference ")[1].split(" ")[0])
    (judged,) = judge_claims(panels, replace(settings, claims=(claim(bound=mean - 0.5),)))
    assert judged.outcome is Outcome.ON_AVERAGE


def test_a_time_on_other_machines_is_judged_by_macs_for_all_seeds(
    panels: list[Panel], settings: ReportSettings
) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    row = panel.row("oracle")
    assert row is not None and row.time is not None and len(row.time.macs) == 2
    time = replace(row.time, seconds={0: row.time.seconds[0]})
    one = replace(panel, rows=(replace(row, time=time),))
    aim = claim(kind=ClaimKind.TIME, arm="oracle", other="", bound=0.9)
    (judged,) = judge_claims([one], replace(settings, claims=(aim,)))
    assert judged.outcome is Outcome.MET and "MACs (the machines differ)" in judged.figures


def test_seeds_of_several_configs_are_marked(panels: list[Panel]) -> None:
    row = panel_of(panels, "attribute", 0.11).rows[0]
    first, second = row.runs
    assert "several configs" not in marks(row)
    assert marks(replace(row, runs=(first, replace(second, steps=9.0)))).endswith("seeds of several configs")


def test_missed_claims_come_first(panels: list[Panel], settings: ReportSettings) -> None:
    listed = claims_list(judge_claims(panels, settings)).splitlines()
    assert listed[0].startswith("- **Missed**: half of the time") and listed[-1].startswith("- Met: ")
    assert claims_list([Judged(claim(says="a|b"), Outcome.MET, "x")]) == "- Met: a\\|b: x."


def test_what_knowing_nothing_is_worth_is_said(panels: list[Panel], settings: ReportSettings) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    row = panel.rows[0]
    runs = tuple(replace(r, line={**r.line, "metrics": {"classification/majority": 0.125}}) for r in row.runs)
    known = replace(panel, rows=(replace(row, runs=runs), *panel.rows[1:]))
    assert known.majority == 12.5 and panel.majority is None
    assert sizes([known]) == [
        "240 questions about 80 images; the most frequent answer is right for 12.5 % of them: attribute."
    ]
    assert sum("trained once" in line for line in in_short(panels, settings)) == 1, "the control has one seed"


def test_what_costs_the_same_says_by_how_much_the_farthest_arm_misses(
    panels: list[Panel], settings: ReportSettings
) -> None:
    panel = panel_of(panels, "attribute", 0.11)

    def with_targets(row: Row, targets: dict[str, float]) -> Row:
        runs = tuple(replace(run, macs=100.0, target_macs=targets.get(row.arm)) for run in row.runs)
        return replace(row, runs=runs)

    for targets, words in (
        (
            {"EViT": 101.0, "smaller image": 97.0},
            "MACs: within 3.1 %, the farthest is smaller image, attribute, keep 0.11), so",
        ),
        ({"EViT": 100.0}, "MACs: within 0.0 %, the farthest is EViT, attribute, keep 0.11), so"),
        ({}, "(multiply-adds, MACs), so"),
    ):
        rows = tuple(with_targets(row, targets) for row in panel.rows)
        assert words in in_short([replace(panel, rows=rows)], settings)[0]


def test_tables_show_every_arm_and_hide_nothing(panels: list[Panel], settings: ReportSettings) -> None:
    table = panel_table(panel_of(panels, "attribute", 0.11))
    assert table.startswith("All rows: steps 800, seeds 2.\n\n| arm |") and table.count("\n") == 9
    assert "MMAC, 8" not in table and "under another text, %" in table, "what no row fills is left out"
    assert "| text-aware | reads the text | 9" in table and "| reference |" in table
    shown = panels_at(panels, 0.11)
    heads, tables = (short_tables(shown, settings)[i::2] for i in (0, 1))
    assert heads == ["attribute, keep 0.11:", "control, keep 0.11:"]
    assert [one.splitlines()[0] for one in tables] == ["| arm | what it is | accuracy, % |"] * 2
    assert [one.count("\n") - 1 for one in tables] == [len(panel.rows) for panel in shown]
    kinds = [
        replace(panel, task="both", kind=kind, name=f"both: {kind}") for panel, kind in zip(shown, "ab", strict=True)
    ]
    head, together = short_tables(kinds, settings)
    assert head == "both, keep 0.11:" and together.startswith("| arm | what it is | a, % | b, % |")
    assert "| attribute | 0.11 | oracle |" in times_table(panels)


def test_arms_without_properties_are_unknown_and_without_a_ratio_there_is_one_panel(
    study: tuple[Path, Path, Path], settings: ReportSettings
) -> None:
    runs, verdicts = read_runs(study[2]), read_verdicts(study[2])
    bare = {key: replace(run, properties={}) for key, run in runs.items()}
    panel = make_panels(bare, verdicts, settings, draws=50)[0]
    assert {row.arm: row.role for row in panel.rows}["EViT"] is Role.UNKNOWN
    columns = {c: v for c, v in verdicts["control"].columns.items() if c.keep == 1}
    (alone,) = make_panels(runs, {"control": replace(verdicts["control"], columns=columns)}, settings, draws=50)
    assert alone.keep == 1 and [row.arm for row in alone.rows] == ["full"] and advise(alone) is None


@pytest.mark.parametrize(
    ("keep", "properties", "role", "is_choice"),
    [
        (0.11, {"selectors": ["FastV"], "needs_text": True}, Role.TEXT_AWARE, True),
        (1.0, {"selectors": ["FastV"], "needs_text": True}, Role.TEXT_AWARE, False),
        (1.0, {"selectors": ["EViT"], "needs_text": False}, Role.TEXT_FREE, False),
        (1.0, {"selectors": [], "needs_text": False}, Role.UNPRUNED, False),
    ],
)
def test_a_selector_with_a_ratio_of_its_own_is_no_choice_at_equal_cost(
    panels: list[Panel], settings: ReportSettings, keep: float, properties: dict[str, Any], role: Role, is_choice: bool
) -> None:
    row = panel_of(panels, "attribute", 0.11).rows[0]
    runs = tuple(replace(run, properties=properties) for run in row.runs)
    own = replace(row, keep=keep, runs=runs, role=role_of("another", keep, properties, settings))
    assert (own.role, own.is_choice) == (role, is_choice)
