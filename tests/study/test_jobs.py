"""Which jobs a study has, their order, and patterns of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bus_toolkit.study.job_key import JobKey
from bus_toolkit.study.jobs import all_jobs, needed
from bus_toolkit.study.reading import read_study


def test_every_job_comes_once_after_the_one_that_it_starts_from(arms_file: Path) -> None:
    jobs = all_jobs(read_study(arms_file))
    names = [job.key.name for job in jobs]
    assert names[:4] == [
        "start/needles/keep_1/seed_0",
        "attribute/full/keep_1/seed_0",
        "attribute/TSPS/keep_0.25/seed_0",
        "attribute/oracle_boxes/keep_0.25/seed_0",
    ]
    # Start; full once a seed; two arms at two ratios; TSPS at 0.5; the race.
    assert len(names) == len(set(names)) == 1 + 2 + 8 + 1 + 2
    assert all(job.start == JobKey("start", "needles", 1.0, 0) for job in jobs if job.key.task == "attribute")
    assert [(job.alone, job.wrong_text) for job in jobs if job.key.task == "race"] == [(True, False), (True, False)]
    assert {job.key.arm for job in jobs if job.wrong_text} == {"TSPS"}


def test_what_matters_most_comes_first(arms_file: Path) -> None:
    study = replace(read_study(arms_file), order=("race", "*/TSPS/keep_0.11"))
    names = [job.key.name for job in all_jobs(study)]
    assert names[:4] == [
        "race/full/keep_1/seed_0",
        "race/TSPS/keep_0.11/seed_0",
        "start/needles/keep_1/seed_0",
        "attribute/TSPS/keep_0.11/seed_0",
    ]


def test_patterns_choose_jobs_and_what_they_start_from(arms_file: Path) -> None:
    jobs = all_jobs(read_study(arms_file))
    chosen = needed(jobs, ("attribute/oracle boxes/*/seed_1", "race/f*"))
    assert [job.key.name for job in chosen] == [
        "start/needles/keep_1/seed_0",
        "attribute/oracle_boxes/keep_0.25/seed_1",
        "attribute/oracle_boxes/keep_0.11/seed_1",
        "race/full/keep_1/seed_0",
    ]
    assert needed(jobs, ()) == jobs and needed(jobs, ("nothing",)) == ()


def test_brackets_of_a_pattern_are_those_of_a_name() -> None:
    key = JobKey("questions", "TSPS [ours]", 0.11, 0)
    patterns = ("questions/TSPS o", "questions/TSPS [ours]", "*/TSPS_ours_", "*/*[ours]/keep_0.11")
    assert [key.matches([pattern]) for pattern in patterns] == [None, 0, 0, 0]


def test_a_start_may_begin_from_another_one(arms_file: Path) -> None:
    text = arms_file.read_text().replace("    start: needles\n", "    start: on\n", 1)
    arms_file.write_text(text.replace("tasks:\n", "  on: {config: full.yaml, start: needles}\ntasks:\n", 1))
    jobs = {job.key.name: job for job in all_jobs(read_study(arms_file))}
    assert list(jobs)[:3] == ["start/needles/keep_1/seed_0", "start/on/keep_1/seed_0", "attribute/full/keep_1/seed_0"]
    assert jobs["attribute/full/keep_1/seed_1"].start == JobKey("start", "on", 1.0, 1)
    assert jobs["start/on/keep_1/seed_1"].start == JobKey("start", "needles", 1.0, 0), "needles has one seed"
    assert jobs["start/needles/keep_1/seed_0"].start is None


def test_a_start_with_fewer_seeds_serves_all(systems_file: Path) -> None:
    text = systems_file.read_text().replace("  retrieval:\n", "  retrieval:\n    seeds: [5, 1]\n")
    systems_file.write_text(text)
    jobs = all_jobs(read_study(systems_file))
    starts = {job.key.seed: job.start for job in jobs if job.key.task == "vqa" and job.key.arm == "BUS"}
    assert starts == {0: JobKey("retrieval", "BUS", 1.0, 5), 1: JobKey("retrieval", "BUS", 1.0, 1)}
