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
KINDS = ("classification/accuracy_attribute", "classification/accuracy_control")


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
        "| questions     | object (%)          | other text | MMAC | ms  | step, ms | steps |",
        "| ---           | ---                 | ---        | ---  | --- | ---      | ---   |",
        "| full          | 100.0               |            | 2.0  |     | 200      | 100   |",
        "| TSPS          | 80.0 (75.0 to 85.0) | 12.5       | 2.0  | 5.0 | 200      | 100   |",
        "| small (64x56) | 50.0                |            | 2.0  |     | 200      | 100*  |",
        "",
        "MMAC and ms: an answer to one text about one image. Other text: the same questions, selected for by",
        "the text of another sample. * undertrained: the accuracy on val still rose when the training ended.",
        "",
        "Means over fewer than 2 seeds: full at 1, object (%): 1; small at 0.11, object (%): 1.",
        "",
        "Chance is 14.",
    ]
    assert arm_tables(study, {}) == "**Where it pays**\n"


def test_names_do_not_break_the_table(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text("{}\n")
    (tmp_path / "study.yaml").write_text(STUDY.replace("object (%)", '"P(x|y)"').replace("title: ", "title: 1*2*3 "))
    title, _, head, *_ = arm_tables(read_study(tmp_path / "study.yaml"), dict([result("full", 0, 1.0)])).splitlines()
    assert title == r"**1\*2\*3 Where it pays**" and head.startswith(r"| questions | P(x\|y) |")


def test_the_table_of_the_demo_fits_a_screen() -> None:
    study = read_study(Path(__file__).parents[2] / "registry_configs/_studies_/demo.yaml")
    rising = [{"step": step, "seconds": 1, "macs": 1, "val": {KINDS[0]: step / 800}} for step in (0, 400, 800)]
    results = {}
    for arm in study.arms:
        key = JobKey("questions", arm.name, 1.0 if arm.name == "unpruned" else 0.11, 0)
        metrics = dict.fromkeys(KINDS, 0.9876 if arm.name != "unpruned" else 1.0)
        results[key] = JobResult(
            *("questions", arm.name, key.keep, 0, "x", metrics),
            macs={"inference": 138_700_000, "step": 1},
            train={"steps": 800, "seconds": 440.0},
            test={"samples": 2400, "seconds": 31.0},
            wrong_text={KINDS[0]: 0.136} if arm.wrong_text else None,
            image_size=[48, 56],
            curve=rising if arm.name == "smaller image" else (),
        )
    lines = arm_tables(study, results).splitlines()
    assert (
        "| smaller image (56x48) | 98.8         | 98.8       |            | 138.7 | 12.9 | 550      | 800*  |" in lines
    )
    assert max(map(len, lines)) <= 100
