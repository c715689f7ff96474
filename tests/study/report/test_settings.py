"""What a study's YAML says about its report is checked when it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.report.claims import ClaimKind, read_claim
from bus_toolkit.study.report.settings import ReportSettings, read_settings
from tests.study.report.fake_study import STUDY


def test_the_settings_are_read(settings: ReportSettings) -> None:
    assert settings.name == "needles" and settings.reference == "text-aware" and settings.keep == 0.11
    assert settings.shown("EViT") == "EViT" and settings.pages == ()
    assert [claim.kind for claim in settings.claims] == [
        ClaimKind.ABOVE,
        ClaimKind.WRONG_TEXT,
        ClaimKind.WITHIN,
        ClaimKind.TIME,
    ]
    assert settings.claims[1].bound == 0.0 and settings.claims[3].other == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  reference: text-aware\n", "", "report.reference: must be the arm that others are compared to, got None"),
        ("  unpruned: full", "  unprunned: full", "report: no such key, got 'unprunned'. It takes reference, unpruned"),
        ("  ceilings: [oracle]", "  ceilings: oracle", "report.ceilings: must be a list, got 'oracle'"),
        ("  keep: 0.11", "  keep: 11", r"report.keep: must be a number in \(0, 1\], got 11"),
        ("  keep: 0.11", "  recall_at: {x: 0}", "report.recall_at.x: must be a whole number of 1 or more, got 0"),
        ("  ceilings: [oracle]", "  words: [oracle]", r"report.words: must be a mapping, got \['oracle'\]"),
        ("  ceilings: [oracle]", "  notes: [Tuned: no]", "report.notes: must be texts, got {'Tuned': 'no'}"),
        (
            ", above: random, by: 10",
            "",
            "report.claims.0: must be a mapping with says, .*; arm, above, by;",
        ),
        (", by: 10", ", by: ten", "report.claims.0.by: must be a number, got 'ten'"),
        (", within: 5", ", within: 5, by: 3", "report.claims.2: takes says, task, keep, perhaps kind, and arm, of"),
    ],
)
def test_a_bad_report_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "study.yaml"
    assert old in STUDY
    file.write_text(STUDY.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read_settings(file)


def test_another_text_may_be_held_within_a_distance_of_the_own_one() -> None:
    given = {"says": "s", "task": "t", "keep": 0.1, "wrong_text_of": "a"}
    claims = [
        read_claim(given | more, "here")
        for more in ({"of": "a", "within": 3}, {"at_most": "b"}, {"at_most": "b", "by": 1})
    ]
    assert [(each.kind, each.other, each.bound) for each in claims] == [
        (ClaimKind.WRONG_WITHIN, "a", 3.0),
        (ClaimKind.WRONG_TEXT, "b", 0.0),
        (ClaimKind.WRONG_TEXT, "b", 1.0),
    ]
    assert all(each.is_under_other_text for each in claims)
    with pytest.raises(ConfigError, match="here: takes says, .*, and wrong_text_of, of, within, got says"):
        read_claim(given | {"at_most": "b", "within": 3}, "here")


def test_a_missing_study_is_named() -> None:
    with pytest.raises(ConfigError, match="nothing.yaml: no such study"):
        read_settings("nothing.yaml")


def test_the_study_says_which_arms_are_special(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    arms = "{full: {}, TSPS: {}, boxes: {oracle: true}, small: {image: smaller}}"
    file.write_text(f"title: t\nreference: TSPS\narms: {arms}\nreport: {{unpruned: full}}\n")
    settings = read_settings(file)
    assert (settings.reference, settings.ceilings, settings.smaller_image) == ("TSPS", ("boxes",), "small")
    claim = "claims: [{says: s, task: t, keep: 0.1, time_of: TSPs, at_most: 1}]"
    for key, given in (("unpruned", "unpruned: ful"), ("baselines", "baselines: [rand]"), ("claims.0", claim)):
        file.write_text(f"title: t\nreference: TSPS\narms: {arms}\nreport: {{{given}}}\n")
        with pytest.raises(ConfigError, match=f"report.{key}: must be arms of the study, got .* It has full, "):
            read_settings(file)


def test_races_are_tasks_of_the_study_and_claims_on_time_are_of_races(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    study = "title: t\nreference: TSPS\narms: {full: {}, TSPS: {}}\ntasks: {run: {}, read: {}}\n"
    claim = "claims: [{says: s, task: read, keep: 0.1, time_of: TSPS, at_most: 1}]"
    for given, message in (
        ("races: [rum]", "report.races: must be tasks of the study, got 'rum'. It has run, read."),
        (
            f"races: [run], {claim}",
            "report.claims.0: times are compared for the tasks in races, run, got 'read'. Add it",
        ),
    ):
        file.write_text(f"{study}report: {{{given}}}\n")
        with pytest.raises(ConfigError, match=message):
            read_settings(file)
    file.write_text(f"{study}report: {{races: [run]}}\n")
    assert read_settings(file).is_race("run") and not read_settings(file).is_race("read")


def test_a_study_that_is_based_on_another_one_reports_as_that_one_but_not_into_its_page(tmp_path: Path) -> None:
    (tmp_path / "shipped.yaml").write_text(STUDY.replace("  keep: 0.11", "  pages: [PAGE.md]\n  keep: 0.11"))
    (tmp_path / "mine.yaml").write_text("_base_: shipped.yaml\nreport: {arms: {Mine: my selector}}\n")
    assert read_settings(tmp_path / "shipped.yaml").pages == (tmp_path / "PAGE.md",)
    settings = read_settings(tmp_path / "mine.yaml")
    assert settings.name == "mine" and settings.pages == () and len(settings.claims) == 4
    assert settings.shown("Mine") == "my selector" and settings.reference == "text-aware"


def test_a_report_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("report: [1]\n")
    with pytest.raises(ConfigError, match=r"report: must be a mapping with reference, .*, got \[1\]"):
        read_settings(tmp_path / "study.yaml")
