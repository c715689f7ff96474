"""The table of a study without keep ratios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.reading import read_study
from bus_toolkit.study.results import JobResult
from bus_toolkit.study.table import study_table


def results(rows: dict[tuple[str, str, int], dict[str, Any]]) -> dict[JobKey, JobResult]:
    found = {}
    for (task, arm, seed), row in rows.items():
        row = {"speed": 50.0, "macs": 2_000_000, **row}
        cost: Any = {"macs": {"step": row.pop("macs")}, "train": {"samples_per_second": row.pop("speed")}}
        found[JobKey(task, arm, 1.0, seed)] = JobResult(task, arm, 1.0, seed, "x", metrics=row, **cost)
    return found


def test_the_table_shows_means_spreads_differences_and_losses(systems_file: Path) -> None:
    rows = {
        ("retrieval", "BUS", 0): {"i2t": 10.0, "t2i": 20.0},
        ("retrieval", "BUS", 1): {"i2t": 20.0, "t2i": 30.0},
        ("retrieval", "unpruned", 0): {"i2t": 10.0, "t2i": 10.0, "speed": 25.0},
        ("vqa", "BUS", 0): {"vqa/accuracy": 0.5, "vqa/prior": 0.25},
        ("vqa", "unpruned", 0): {"vqa/accuracy": 0.75, "vqa/prior": 0.25, "macs": 8_000_000},
    }
    table = study_table(read_study(systems_file), results(rows))
    assert "| task | figure | BUS | unpruned | BUS against unpruned | no skill |" in table
    assert "| retrieval | R@1 | 20.0 (15.0 to 25.0) | 10.0 | +5.0 |  |" in table
    assert "| retrieval | samples/s (training) | 50.0 | 25.0 | x 2.00 |  |" in table
    assert "| vqa | accuracy | 50.0 | 75.0 | -25.0 | 25.0 |" in table
    assert "| vqa | MMAC a sample (step) | 2 | 8 | x 0.25 |  |" in table
    assert "BUS loses: vqa accuracy (-25.0)." in table
    assert "retrieval, vqa: seeds 0, 1; mean" in table
    assert "Missing: retrieval unpruned seed 1; vqa BUS seed 1; vqa unpruned seed 1." in table
    assert "Questions are templates." in table


def test_a_table_without_results_shows_gaps(systems_file: Path) -> None:
    table = study_table(read_study(systems_file), {})
    assert "| vqa | accuracy | - | - | - |  |" in table and "BUS loses in no figure." in table


def test_arms_are_compared_over_the_seeds_that_both_have_and_gaps_are_named(systems_file: Path) -> None:
    rows = {
        ("vqa", "BUS", 0): {"vqa/accuracy": 0.5},
        ("vqa", "BUS", 1): {},  # its metric was no number
        ("vqa", "unpruned", 0): {"vqa/accuracy": 0.75},
        ("vqa", "unpruned", 1): {"vqa/accuracy": 0.0},
    }
    table = study_table(read_study(systems_file), results(rows))
    assert "| vqa | accuracy | 50.0 | 37.5 (0.0 to 75.0) | -25.0 |  |" in table
    assert "BUS loses: vqa accuracy (-25.0)." in table and "; vqa BUS seed 1 accuracy. Differences and " in table


def test_names_do_not_break_the_table(systems_file: Path) -> None:
    systems_file.write_text(systems_file.read_text().replace("BUS: bus", '"a|b": bus').replace("R@1", "P(x|y)"))
    head, _, row, *_ = study_table(read_study(systems_file), {}).splitlines()[2:]
    assert head == r"| task | figure | a\|b | unpruned | a\|b against unpruned | no skill |"
    assert row.startswith(r"| retrieval | P(x\|y) | - |")
