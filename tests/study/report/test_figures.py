"""What the plots show: panels, markers and ticks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text

from bus_toolkit.study.report.accuracy_figure import budgets_of, show_budgets
from bus_toolkit.study.report.advice import Verdict, all_advice
from bus_toolkit.study.report.curves import TimeToQuality
from bus_toolkit.study.report.curves_figure import split_by_role
from bus_toolkit.study.report.drawing import new_axes, style_axes, title_size
from bus_toolkit.study.report.figures import draw_figures
from bus_toolkit.study.report.panels import Panel, panels_at
from bus_toolkit.study.report.rows import Role, Row
from bus_toolkit.study.report.settings import ReportSettings
from bus_toolkit.study.report.style import MARKERS, METHODS, Style
from bus_toolkit.study.report.time_figure import draw_times
from tests.study.report.fake_study import panel_of


def rows_of(panel: Panel, numbers: dict[Role, int]) -> list[Row]:
    """So many rows of each role."""
    return [replace(panel.rows[0], arm=f"{role.name} {i}", role=role) for role, n in numbers.items() for i in range(n)]


def test_many_curves_are_split_by_role_and_what_they_are_compared_to_is_in_each_panel(panels: list[Panel]) -> None:
    common = {Role.BASELINE: 2, Role.SMALLER_IMAGE: 1, Role.UNPRUNED: 1, Role.CEILING: 1}
    rows = rows_of(panels[0], {Role.TEXT_FREE: 4, Role.TEXT_AWARE: 5, **common})
    (aware, first), (free, second) = split_by_role(rows)
    assert (aware, free) == ("reads the text", "text-free") and (len(first), len(second)) == (10, 9)
    assert {row.arm for row in first} & {row.arm for row in second} == {row.arm for row in rows[9:]}
    assert split_by_role(rows[2:]) == [("", rows[2:])], "twelve arms are in one panel"
    alone = rows_of(panels[0], {Role.TEXT_AWARE: 20, **common})
    assert split_by_role(alone) == [("", alone)], "there is nothing to split"


def test_markers_are_unique_within_a_panel(panels: list[Panel]) -> None:
    numbers = {Role.TEXT_AWARE: 19, Role.TEXT_FREE: 14, Role.BASELINE: 3, Role.SMALLER_IMAGE: 1, Role.UNPRUNED: 3}
    rows = rows_of(panels[0], numbers)
    style = Style({row.arm: row.role for row in rows})
    for _, of_panel in split_by_role(rows):
        lines = [style.line(row.arm) for row in of_panel]
        looks = {(line["marker"], line["markerfacecolor"] == "white") for line in lines}
        assert len(looks) == len(of_panel)
    assert len(split_by_role(rows)[0][1]) == 26 == 2 * len(MARKERS) and len(METHODS) == 3


def test_ticks_are_at_the_budgets_and_the_unpruned_arm_not_at_arms_that_miss_them(panels: list[Panel]) -> None:
    both = [panel_of(panels, "attribute", keep) for keep in (0.25, 0.11)]
    assert budgets_of(both) == pytest.approx([130.8, 170.0, 400.0])
    missing = [replace(panel, rows=panel.rows[-1:], unpruned=None) for panel in both]
    assert budgets_of(missing) == pytest.approx([131.8, 171.0]), (
        "what arms are set to says it where the reference has not run"
    )


@pytest.mark.parametrize(
    ("budgets", "labels"),
    [([51, 58, 198.4], ["51", "58", "198"]), ([52, 58, 64, 70], ["52", "\n58", "64", "\n70"]), ([4.25], ["4.2"])],
)
def test_labels_of_near_budgets_are_on_two_lines(budgets: list[float], labels: list[str]) -> None:
    _, (axes,) = new_axes(1)
    show_budgets(axes, budgets)
    assert list(axes.get_xticks()) == budgets
    assert [label.get_text() for label in axes.get_xticklabels()] == labels


LONG = "race from scratch, 8 questions: attribute, keep 0.11: learning curves, reads the text"


@pytest.mark.parametrize(("title", "is_smaller"), [("short", False), (LONG, True)])
def test_titles_fit_however_long_they_are(title: str, is_smaller: bool) -> None:
    figure, (axes,) = new_axes(1)
    style_axes(axes, title, "x", "y")
    figure.tight_layout()
    (shown,) = axes.findobj(lambda one: isinstance(one, Text) and one.get_text() == title)
    assert (shown.get_fontsize() < 13) == is_smaller  # type: ignore[attr-defined]
    assert shown.get_window_extent().x1 <= figure.bbox.x1


def test_no_title_has_the_usual_size() -> None:
    assert title_size("") == title_size(" ") == 13


@pytest.mark.parametrize(
    ("reached", "label"), [((0, 1), "TSPS x 0.50"), ((1,), "TSPS x 0.50 (1 of 2 seeds)"), ((), "TSPS")]
)
def test_a_ratio_says_how_many_seeds_have_one_if_not_all_do(
    panels: list[Panel], tmp_path: Path, reached: tuple[int, ...], label: str
) -> None:
    ratios = dict.fromkeys(reached, 0.5)
    time = TimeToQuality((0, 1), ratios, ratios, {0: 90.0, 1: 90.0})
    panel = panel_of(panels, "attribute", 0.11)
    assert panel.unpruned is not None
    rows = [panel.unpruned, replace(panel.rows[0], arm="TSPS", shown="TSPS", time=time)]
    style = Style({row.arm: row.role for row in rows})
    svg = draw_times(panel, rows, style, tmp_path / "time.svg", "times").read_text()
    assert svg.count(f">{label}<") == 2, "one a unit"


@pytest.mark.slow
def test_a_short_report_shows_where_a_method_matters_and_of_a_race_its_time(
    panels: list[Panel], settings: ReportSettings, tmp_path: Path
) -> None:
    verdicts = {each.panel.task: each.verdict for each in all_advice(panels_at(panels, 0.11), settings)}
    assert verdicts == {"attribute": Verdict.METHOD, "control": Verdict.NO_METHOD}
    main = {each.svg.name: each.is_main for each in draw_figures(panels, settings, tmp_path)}
    assert main["accuracy_macs_attribute.svg"] and not main["accuracy_macs_control.svg"]
    raced = {
        each.svg.name: each.is_main for each in draw_figures(panels, replace(settings, races=("attribute",)), tmp_path)
    }
    assert raced["time_attribute.svg"] and not raced["accuracy_macs_attribute.svg"]
