"""What to take, from a generated study whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bus_toolkit.study.report.advice import Advice, Verdict, advise, all_advice
from bus_toolkit.study.report.advice_table import ADVICE_HEADS, advice_rows, definitions, lists_without_method
from bus_toolkit.study.report.advice_text import advice_text
from bus_toolkit.study.report.bootstrap import Estimate
from bus_toolkit.study.report.cell_text import estimate_text
from bus_toolkit.study.report.markdown_pages import leaderboard_markdown
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.rows import Row
from bus_toolkit.study.report.scores import Cell
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.several import of_several
from tests.study.report.fake_study import panel_of


def row_of(advice: Advice) -> list[str]:
    (row,) = advice_rows([advice])
    return row


def test_the_advice_says_what_several_questions_about_one_image_cost(
    panels: list[Panel], settings: ReportSettings
) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    shared = {"full": 390e6, "text-aware": 10e6}
    rows = tuple(
        replace(row, runs=tuple(replace(run, shared_macs=shared.get(row.arm)) for run in row.runs))
        for row in panel.rows
    )
    full = next(row for row in rows if row.arm == "full")
    advice = advise(replace(panel, rows=rows, unpruned=full))
    assert advice is not None
    assert [row.arm for row in advice.several] == ["full"], "the most accurate one, and nothing cheaper is near"
    assert advice_text(advice)[1] == (
        "text-aware: of several questions about one image, only the work before the selector is shared: 122 million "
        "MACs each for 8 questions, which is not less than full with 58.8."
    )
    assert row_of(advice)[6:8] == ["122 (all tokens: 58.8)", "full (99.0 %, 58.8 million MACs each)"]


def test_kinds_and_tasks_are_defined_once_and_so_are_a_dash_and_the_cheapest(
    panels: list[Panel], settings: ReportSettings
) -> None:
    advice = advise(panel_of(panels, "attribute", 0.11))
    control = advise(panel_of(panels, "control", 0.11))
    assert advice is not None and control is not None
    crowded = replace(advice, panel=replace(advice.panel, task="crowded", name="crowded: attribute"))
    words = {"attribute": "the mark", "crowded": "90 objects", "control": "the ground", "others": "12 objects"}
    lines = definitions([crowded, advice, control], replace(settings, tasks=words))
    assert lines[:3] == ["attribute: the mark.", "control: the ground.", "crowded: 90 objects."]
    assert lines[3].startswith(
        "Cheapest at 8 questions an image: of the arms at most 10 points below the most accurate"
    )
    assert (
        lines[4] == "A dash: there is no arm with all tokens, or what questions share was not counted."
        and len(lines) == 5
    )
    assert [row[0] for row in advice_rows([crowded, advice])] == ["crowded: attribute", "attribute"]
    assert definitions([control], settings) == [], "without a table there are no columns"


def test_a_race_is_no_question_of_choosing(panels: list[Panel], settings: ReportSettings) -> None:
    assert len(all_advice(panels, settings)) == 4, "where races are not named all tasks are compared in time"
    named = all_advice(panels, replace(settings, races=("attribute",)))
    assert [advice.panel.task for advice in named] == ["control", "control"]


def test_the_advice_takes_the_best_and_says_what_it_costs(panels: list[Panel], settings: ReportSettings) -> None:
    advice = advise(panel_of(panels, "attribute", 0.11))
    assert advice is not None and advice.take.arm == "text-aware" and advice.ties == ()
    first, *rest = advice_text(advice)
    assert first.startswith("attribute, keep 0.11 (about one token in 9): take text-aware. It answers ")
    assert "costs 131 million MACs a question (0.33 of full, which reads all tokens and answers 9" in first
    assert "it reads the text, its selector learns from boxes, it was trained for 800 steps (10.0 TMAC)." in first
    assert any(
        line.startswith("The best without reading the text, without boxes for its selector: EViT") for line in rest
    )
    assert any(line.startswith("The best with a smaller image: smaller image (") for line in rest)
    row = row_of(advice)
    assert row[:3] == ["attribute", "0.11 (1 token in 9)", "text-aware"]
    assert row[4:8] == ["99.0", "131 (0.33 of all tokens)", "-", "-"] and row[-1] == "none"
    assert len(row) == len(ADVICE_HEADS)


def test_where_nothing_differs_no_method_is_needed_and_a_list_says_so(
    panels: list[Panel], settings: ReportSettings
) -> None:
    advised = all_advice([panel for panel in panels if panel.name == "control"], settings)
    assert [advice.verdict for advice in advised] == [Verdict.NO_METHOD] * 2 and advice_rows(advised) == []
    ((head, (line,)),) = lists_without_method(advised)
    takes = "; ".join(
        f"at keep {keep} {advice.take.shown} ({estimate_text(advice.take.accuracy)} %, {macs} million MACs)"
        for keep, advice, macs in zip((0.25, 0.11), advised, (170, 131), strict=True)
    )
    assert line == f"control: {takes}."
    page = leaderboard_markdown(panels, [], [], settings, Path("results"))
    assert head == "No method is distinguishably better, so none is needed:" and f"{head}\n\n- {line}" in page
    assert "| control | 0.11 (1 token" not in page and "control, keep 0.11 (about" not in page


def test_where_nothing_was_learnt_there_is_nothing_to_take(panels: list[Panel], settings: ReportSettings) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    full = panel.unpruned
    assert full is not None

    def known(share: float) -> Advice:
        runs = tuple(replace(run, line={"metrics": {"classification/majority": share}}) for run in full.runs)
        known_panel = replace(panel, rows=(replace(full, runs=runs), *panel.rows))
        advice = advise(known_panel)
        assert advice is not None
        return advice

    assert known(0.9).verdict is Verdict.METHOD, "all tokens have 99 %"
    advice = known(0.95)
    assert advice.verdict is Verdict.NOTHING_LEARNT and advice_rows([advice]) == []
    ((head, (line,)),) = lists_without_method([advice])
    assert head.startswith("Not even all tokens are more than 5 points above always giving the most frequent answer")
    assert line.startswith("attribute: at keep 0.11 text-aware (9") and "(no better than guessing) %" not in line
    assert "In sentences" not in leaderboard_markdown([advice.panel], [], [], settings, Path("results"))


def test_alternatives_are_compared_to_the_arm_to_take_not_to_the_reference(panels: list[Panel]) -> None:
    panel = panel_of(panels, "attribute", 0.25)
    advice = advise(panel)
    assert advice is not None
    take = panel.row("EViT")
    assert take is not None
    difference = panel.scores.difference(Cell("random", 0.25), Cell("EViT", 0.25))
    text = " ".join(advice_text(replace(advice, take=take)))
    assert "The best of the baselines: random (6" in text
    assert f"%, {estimate_text(difference, signed=True)} points to EViT, 170 million MACs" in text
    assert "to the reference" not in text


def test_the_arm_to_take_is_the_cheapest_if_none_costs_less_than_budgets_are_matched_to(panels: list[Panel]) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    advice = advise(panel)
    assert advice is not None

    def with_shared(row: Row, shared: float) -> Row:
        return replace(row, runs=tuple(replace(run, macs=100e6, shared_macs=shared) for run in row.runs))

    take, other = with_shared(advice.take, 80e6), with_shared(advice.panel.rows[-1], 81e6)  # 30 and 29.1 million
    assert row_of(replace(advice, take=take, several=(other,)))[7].startswith(f"{other.shown} (")
    close = with_shared(other, 80.5e6)  # 29.6 million
    assert row_of(replace(advice, take=take, several=(close,)))[7] == "the arm to take"


def test_what_costs_less_for_several_questions_is_named_down_to_ten_points_below(
    panels: list[Panel], settings: ReportSettings
) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    reference, evit = panel.row("text-aware"), panel.row("EViT")
    assert reference is not None and evit is not None

    def priced(row: Row, name: str, mean: float, shared: float) -> Row:
        runs = tuple(replace(run, macs=100e6, shared_macs=shared) for run in row.runs)
        return replace(row, arm=name, shown=name, accuracy=Estimate(mean, mean, mean), runs=runs)

    rows = (
        priced(reference, "best, of two words", 97.0, 20e6),
        priced(reference, "as dear", 96.0, 22e6),
        priced(evit, "cheap", 90.0, 90e6),
        priced(evit, "cheapest", 80.0, 99e6),
    )
    advice = Advice(
        replace(panel, rows=rows),
        rows[0],
        rows[0],
        rows[1:2],
        of_several(replace(panel, rows=rows, unpruned=None), rows),
    )
    assert [row.arm for row in advice.several] == ["best, of two words", "cheap"]
    text = " ".join(advice_text(advice))
    assert (
        "from accurate to cheap: best, of two words (97.0 %, 82.5 million MACs each); cheap (90.0 %, 21.2 mill" in text
    )
    assert "This study cannot say that it is better or worse than as dear." in text
    assert "While its selection reads another text: 2" in text and "most frequent" not in text
    many = replace(advice, ties=tuple(replace(rows[1], shown=f"a{i}") for i in range(9)))
    assert row_of(many)[-1] == "a0; a1; a2; a3; a4; a5; and 3 others"


def test_of_equal_arms_at_the_same_cost_the_more_accurate_one_is_taken_and_one_alone_is_no_choice(
    panels: list[Panel],
) -> None:
    panel = panel_of(panels, "attribute", 0.11)
    best = panel.row("text-aware")
    assert best is not None
    cheaper = replace(best, shown="twin", runs=tuple(replace(run, macs=0.99 * run.macs) for run in best.runs))
    twin = replace(cheaper, accuracy=replace(best.accuracy, mean=best.accuracy.mean - 1))
    advice = advise(replace(panel, rows=(best, twin)))
    assert advice is not None and advice.take is best and advice.others == ["twin"]
    assert advise(replace(panel, rows=(best,))) is None


def test_an_arm_far_below_all_tokens_is_not_the_cheapest_for_several_questions(panels: list[Panel]) -> None:
    advice = advise(panel_of(panels, "attribute", 0.11))
    assert advice is not None and advice.panel.unpruned is not None

    def with_costs(row: Row, accuracy: float, shared: float) -> Row:
        runs = tuple(replace(run, macs=100.0, shared_macs=shared) for run in row.runs)
        return replace(row, runs=runs, accuracy=replace(row.accuracy, mean=accuracy))

    take, full = with_costs(advice.take, 52.0, 90.0), with_costs(advice.panel.unpruned, 64.0, 50.0)
    row = advice_rows([replace(advice, take=take, several=(full,))])[0]
    assert row[7].startswith("full (64.0 %, ")
