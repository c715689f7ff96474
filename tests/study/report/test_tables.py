"""Tables of a study's YAML: what is refused when they are read, and what they show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bus_toolkit.config.yaml_text import parse_mapping
from bus_toolkit.errors import ConfigError
from bus_toolkit.study.report.markdown_pages import table_markdown
from bus_toolkit.study.report.page_table import page_table
from bus_toolkit.study.report.panels import Panel
from bus_toolkit.study.report.settings import ReportSettings, read_settings
from bus_toolkit.study.report.sharing import cheaper_text
from bus_toolkit.study.report.tables import PageTable, Show, read_tables

SHARED = {"full": 390e6, "text-aware": 100e6, "EViT": 125e6}


def table_of(text: str) -> PageTable:
    (table,) = read_tables({"law": parse_mapping(text, "text")}, "report.tables")
    return table


@pytest.fixture(scope="module")
def shared(panels: list[Panel]) -> list[Panel]:
    """The panels with known costs that questions share."""

    def rows_of(panel: Panel) -> tuple[Any, ...]:
        return tuple(
            replace(row, runs=tuple(replace(run, shared_macs=SHARED.get(row.arm)) for run in row.runs))
            for row in panel.rows
        )

    return [replace(panel, rows=rows_of(panel)) for panel in panels]


def test_lists_of_values_give_a_column_each() -> None:
    columns = "[{task: attribute, keep: [0.25, 0.11], show: [accuracy, macs], questions: [1, 4]}]"
    table = table_of(f"{{arms: [full], columns: {columns}}}")
    assert [(c.keep, c.show, c.questions) for c in table.columns[:3]] == [
        *((0.25, Show.ACCURACY, 1), (0.25, Show.MACS, 1), (0.25, Show.MACS, 4))
    ]
    assert len(table.columns) == 6 and table.columns[0].name == "attribute" and table.arms == ("full",)


def test_heads_say_what_differs_and_what_has_not_run_says_so(panels: list[Panel], settings: ReportSettings) -> None:
    table = table_of("{arms: [text-aware, nobody], columns: [{task: attribute, keep: [0.25, 0.11]}]}")
    lines = page_table(table, panels, settings).splitlines()
    assert lines[0] == "Attribute, accuracy, %:" and lines[2] == "| arm | what it is | keep 0.25 | keep 0.11 |"
    assert lines[4].startswith("| text-aware | reads the text | 9") and lines[5] == "| nobody | - | not run | not run |"
    table = table_of("{arms: [full], columns: [{task: attribute, keep: 0.5}, {task: another, kind: x, keep: 0.11}]}")
    lines = page_table(table, panels, settings).splitlines()
    assert lines[2] == "| arm | what it is | attribute, keep 0.5 | another: x, keep 0.11 |"
    assert lines[4] == "| full | - | not run | not run |"


def test_a_row_shows_its_costs_its_scores_and_its_differences(shared: list[Panel], settings: ReportSettings) -> None:
    show = "[difference, shared, own, auc, auc_other_text, time, other_text, boxes]"
    cell = "{task: attribute, keep: 0.11"
    columns = f"[{cell}, show: {show}}}, {cell}, show: [difference, cheaper], to: EViT}}, {cell}, show: cheaper}}]"
    table = table_of(f"{{arms: [text-aware, EViT], columns: {columns}}}")
    line = {"metrics": {"patch_text/auc_named": 0.75}, "wrong_text": {"patch_text/auc_named": 0.25}}
    panel = next(panel for panel in shared if panel.name == "attribute" and panel.keep == 0.11)
    rows = tuple(replace(row, runs=tuple(replace(run, line=line) for run in row.runs)) for row in panel.rows)
    heads, _, first, second = page_table(table, [replace(panel, rows=rows)], settings).splitlines()[2:]
    assert "| to the reference, points | MMAC an image, shared |" in heads and "| to EViT, points | questions" in heads
    cells = first.split(" | ")
    assert cells[2:7] == ["reference", "100", "30.8", "0.750", "0.250"] and cells[9] == "yes" and cells[10][0] == "+"
    # 100 / Q + 30.8 < 125 / Q + 5.8 up to Q = 1 (25 / 25), and < 390 / Q + 10 up to Q = 13 (290 / 20.8).
    assert cells[11:] == ["none", "up to 13 |"]
    assert second.split(" | ")[5] == "0.750 (prior)" and second.split(" | ")[11:] == ["-", "any number |"]


def test_costs_cross_at_most_once(shared: list[Panel]) -> None:
    row = next(row for row in shared[0].rows if row.arm == "EViT")

    def with_costs(macs: float, shared_macs: float | None) -> Any:
        return replace(row, runs=(replace(row.runs[0], macs=macs, shared_macs=shared_macs),))

    base = with_costs(100.0, 80.0)
    words = {
        (100.0, None): "-",
        (100.0, 80.0): "none",
        (90.0, 70.0): "any number",  # less shared, as much of its own
        (90.0, 75.0): "any number",
        (120.0, 110.0): "4 or more",  # equal at 30 / 10
        (90.0, 50.0): "up to 1",  # equal at 30 / 20
        (130.0, 80.0): "none",
    }
    assert {costs: cheaper_text(with_costs(*costs), base) for costs in words} == words


def test_verdicts_come_before_the_figures_in_their_order(shared: list[Panel], settings: ReportSettings) -> None:
    at = "task: attribute, keep: 0.11"
    claims = [
        f"{{says: one, {at}, cost_of: text-aware, of: full, questions: 1, at_most: 0.4}}",
        f"{{says: many, {at}, cost_of: text-aware, of: full, questions: 30, at_most: 1}}",
        f"{{says: unknown, {at}, cost_of: random, of: full, questions: 2, at_most: 1}}",
    ]
    text = table_markdown(table_of(f"{{claims: [{', '.join(claims)}]}}"), shared, settings)
    assert text.splitlines() == [
        "- Met: one: 131 against 400 million MACs, x 0.33.",
        "- **Missed**: many: 34.1 against 23.0 million MACs, x 1.48.",
        "- No verdict: unknown: random has not run, or its shared cost was not counted.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{arms: [full]}", "report.tables.law: needs arms and columns, or claims, or all three, got arms"),
        ("{rows: [full]}", "report.tables.law: takes arms, claims, columns, got rows"),
        ("{arms: full, columns: []}", "report.tables.law.arms: must be a list of texts, got 'full'"),
        ("{claims: {}}", "report.tables.law.claims: must be a list, got {}"),
        ("{arms: [], columns: [{keep: 0.1}]}", "law.columns.0: takes keep, .* and needs keep, task, got keep"),
        ("{arms: [], columns: [{task: a, keep: x}]}", "law.columns.0.keep: must be a number above 0, .* got 'x'"),
        (
            "{arms: [], columns: [{task: a, keep: 0.1, show: acc}]}",
            "law.columns.0.show: must be one of accuracy, .*'acc'",
        ),
        ("{arms: [], columns: [{task: a, keep: 0.1, to: x}]}", "columns.0.to: has an effect on difference or cheaper"),
        (
            "{arms: [], columns: [{task: a, keep: 0.1, questions: 2}]}",
            "columns.0.questions: has an effect on macs only",
        ),
        (
            "{claims: [{says: s, task: t, keep: 0.1, cost_of: a, of: b, at_most: 1}]}",
            "claims.0: takes says, task, keep, perhaps kind, and cost_of, of, at_most, questions, got says",
        ),
        (
            "{claims: [{says: s, task: t, keep: 0.1, cost_of: a, of: b, at_most: 1, questions: 0}]}",
            "claims.0.questions: must be a whole number of 1 or more, got 0",
        ),
    ],
)
def test_a_bad_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table_of(text)


def test_a_name_that_ends_a_comment_is_refused() -> None:
    with pytest.raises(ConfigError, match="must have a name that fits between <!-- and -->, got 'a --> b'"):
        read_tables({"a --> b": {"claims": []}}, "report.tables")


def test_an_unknown_kind_of_question_is_named(panels: list[Panel], settings: ReportSettings) -> None:
    table = table_of("{arms: [full], columns: [{task: attribute, kind: colour, keep: 0.11}]}")
    with pytest.raises(
        ConfigError, match="law.columns: kind must be one of attribute for the task attribute, got 'colo"
    ):
        page_table(table, panels, settings)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "arms: [TSPS]",
            "arms: [Tsps]",
            "report.tables.law: must be arms of the study, got 'Tsps'. It has full, ",
        ),
        ("keep: 0.1, to: full", "keep: 0.1, to: fool", "tables.law: must be arms of the study, got 'fool'"),
        (
            "{task: t, keep: 0.1",
            "{task: v, keep: 0.1",
            "tables.law.columns: must be tasks of the study, got 'v'. It has t",
        ),
        ("keep: 0.1, to", "keep: 0.3, to", "must be keep ratios of the task t, got '0.3'. It has 0.5, 0.1"),
        (
            "show: difference",
            "show: [difference, time]",
            "tables.law.columns: times are compared for .* races, u, got 't'",
        ),
        ("task: u, keep: 0.5, time_of", "task: u, keep: 0.7, time_of", "tables.law.claims.0: must be keep ratios of"),
    ],
)
def test_a_table_of_what_the_study_does_not_have_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = """
title: t
reference: TSPS
keep: [0.5]
arms: {full: {}, TSPS: {}}
tasks: {t: {config: c, runs: [{}, {keep: [0.1]}]}, u: {config: c}}
report:
  races: [u]
  tables:
    law:
      arms: [TSPS]
      columns: [{task: t, keep: 0.1, to: full, show: difference}]
      claims: [{says: s, task: u, keep: 0.5, time_of: TSPS, at_most: 1}]
"""
    file = tmp_path / "study.yaml"
    file.write_text(text)
    assert read_settings(file).tables[0].columns[0].to == "full"
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read_settings(file)
