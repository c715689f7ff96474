"""The tables of a study with keep ratios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bus_toolkit.study.arm_tables import arm_tables
from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.reading import read_study
from bus_toolkit.study.results import JobResult

STUDY = """
title: Where it pays
seeds: [0, 1]
reference: TSPS
keep: [0.11]
tasks:
  questions: {config: full.yaml, figures: {object (%): {metric: accuracy, times: 100}}, note: "Chance is 14."}
  unshown: {config: full.yaml}
arms:
  full: {}
  TSPS: {selector: {type: TSPS, blocks: [1]}, wrong_text: true}
  small: {image: smaller}
"""


def result(arm: str, seed: int, accuracy: float, **more: Any) -> tuple[JobKey, JobResult]:
    key = JobKey("questions", arm, 1.0 if arm == "full" else 0.11, seed)
    cost: Any = {"macs": {"inference": 2_000_000, "step": 1}, "train": {"steps": 100, "seconds": 20.0}, **more}
    return key, JobResult("questions", arm, key.keep, seed, "x", metrics={"accuracy": accuracy}, **cost)


def test_an_arm_a_row_with_spread_wrong_text_time_and_size(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text("{}\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    rising = [{"step": step, "seconds": 1, "macs": 1, "val": {"accuracy": step / 100}} for step in (0, 50, 100)]
    rows = [
        result("small", 0, 0.5, image_size=[56, 64], curve=rising),
        result("TSPS", 0, 0.75, wrong_text={"accuracy": 0.125}, test={"samples": 50, "seconds": 0.25}),
        result("TSPS", 1, 0.85, wrong_text={"accuracy": 0.125}, test={"samples": 50, "seconds": 0.25}),
        result("full", 0, 1.0),
    ]
    study = read_study(tmp_path / "study.yaml")
    assert arm_tables(study, dict(rows)).splitlines() == [
        "**Where it pays**",
        "",
        "| questions | object (%) | another text | MMAC an answer | ms an answer | ms a step | steps |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| full | 100.0 |  | 2.0 |  | 200 | 100 |",
        "| TSPS | 80.0 (75.0 to 85.0) | 12.5 | 2.0 | 5.00 | 200 | 100 |",
        "| small, 64 x 56 px | 50.0 |  | 2.0 |  | 200 | 100, undertrained |",
        "",
        "Chance is 14.",
    ]
    assert arm_tables(study, {}) == "**Where it pays**\n"
