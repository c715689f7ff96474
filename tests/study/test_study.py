"""Studies: their plan, how jobs run and are not run again, and the table."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.job import RESULT, Job, read_result, run_job
from bus_toolkit.study.plan import read_study
from bus_toolkit.study.run import _job, collect, run_study
from bus_toolkit.study.table import study_table
from tests.small_run import small

ROOT = Path(__file__).parents[2] / "registry_configs"
WORKER = (sys.executable, "-m", "bus_toolkit.cli.study_job")
STUDY = """
title: Two systems
systems: {BUS: bus, unpruned: albef}
seeds: [0, 1]
tasks:
  retrieval:
    config: {system}_scenes_tiny.yaml
    figures:
      R@1: {metric: [i2t, t2i]}
  vqa:
    config: {system}_vqa.yaml
    start: retrieval
    figures:
      accuracy: {metric: vqa/accuracy, baseline: vqa/prior, times: 100}
    note: Questions are templates.
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    for name in ("bus_scenes_tiny", "albef_scenes_tiny", "bus_vqa", "albef_vqa"):
        (tmp_path / f"{name}.yaml").write_text("{}\n")
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("{system}_", '"{system}_').replace(".yaml\n", '.yaml"\n'))
    return path


def result(**metrics: float) -> dict:
    return {"fingerprint": "x", "metrics": metrics, "samples_per_second": 50.0, "macs_per_sample": 2_000_000}


def test_the_plan_is_read_with_paths_relative_to_the_file(study_file: Path) -> None:
    study = read_study(study_file)
    assert list(study.systems) == ["BUS", "unpruned"] and study.tasks[0].seeds == (0, 1)
    assert study.tasks[1].start == "retrieval" and study.tasks[1].figures[0].times == 100
    assert Path(study.tasks[0].config.format(system="bus")).is_file()


def test_a_task_brings_the_one_it_starts_from(study_file: Path) -> None:
    study = read_study(study_file)
    assert [task.name for task in study.only(["vqa"], [7]).tasks] == ["retrieval", "vqa"]
    assert study.only(["retrieval"], [7]).tasks[0].seeds == (7,)
    with pytest.raises(ConfigError, match="--tasks: must be some of retrieval, vqa, got caption"):
        study.only(["caption"], None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 1]", "seeds: []", "seeds: must be a list of whole numbers"),
        ("title: Two systems\n", "", "needs seeds, systems, tasks, title"),
        ("start: retrieval", "start: nlvr", "start: must be a task listed before it, got 'nlvr'"),
        ('"{system}_vqa.yaml"', '"{system}_none.yaml"', "no such file"),
        ("metric: vqa/accuracy", "metrics: vqa/accuracy", "needs metric"),
        ("systems: {BUS: bus, unpruned: albef}", "systems: []", "must be mappings"),
    ],
)
def test_a_bad_study_is_refused(study_file: Path, old: str, new: str, message: str) -> None:
    study_file.write_text(study_file.read_text().replace(old, new))
    with pytest.raises(ConfigError) as error:
        read_study(study_file)
    assert message in str(error.value)


def test_the_table_shows_means_spreads_differences_and_losses(study_file: Path) -> None:
    study = read_study(study_file)
    results = {
        ("retrieval", "BUS", 0): result(i2t=10.0, t2i=20.0),
        ("retrieval", "BUS", 1): result(i2t=20.0, t2i=30.0),
        ("retrieval", "unpruned", 0): {**result(i2t=10.0, t2i=10.0), "samples_per_second": 25.0},
        ("vqa", "BUS", 0): result(**{"vqa/accuracy": 0.5, "vqa/prior": 0.25}),
        ("vqa", "unpruned", 0): {**result(**{"vqa/accuracy": 0.75, "vqa/prior": 0.25}), "macs_per_sample": 8_000_000},
    }
    table = study_table(study, results)
    assert "| task | figure | BUS | unpruned | BUS against unpruned | no skill |" in table
    assert "| retrieval | R@1 | 20.0 (15.0 to 25.0) | 10.0 | +10.0 |  |" in table
    assert "| retrieval | samples/s (training) | 50.0 | 25.0 | x 2.00 |  |" in table
    assert "| vqa | accuracy | 50.0 | 75.0 | -25.0 | 25.0 |" in table
    assert "| vqa | MMAC a sample (step) | 2 | 8 | x 0.25 |  |" in table
    assert "BUS loses: vqa accuracy (-25.0)." in table
    assert "retrieval, vqa: seeds 0, 1; mean" in table
    assert "Missing: retrieval unpruned seed 1; vqa BUS seed 1; vqa unpruned seed 1." in table
    assert "Questions are templates." in table


def test_a_table_without_results_shows_gaps(study_file: Path) -> None:
    table = study_table(read_study(study_file), {})
    assert "| vqa | accuracy | - | - | - |  |" in table and "BUS loses in no figure." in table


def test_a_failing_job_leaves_a_gap_and_so_does_what_starts_from_it(study_file: Path, tmp_path: Path) -> None:
    reported: list[str] = []
    out = tmp_path / "out"
    # One config is refused before it runs, the other one in its own process.
    broken = f"_base_: {ROOT / 'bus' / 'bus_scenes_tiny.yaml'}\nload_from: nothing.pth\n"
    (study_file.parent / "bus_scenes_tiny.yaml").write_text(broken)
    assert run_study(read_study(study_file).only(None, [0]), out, jobs=2, worker=WORKER, report=reported.append) == {}
    assert any("unpruned/seed_0" in line and "albef_scenes_tiny.yaml: the file is empty" in line for line in reported)
    assert any("failed (exit code 2): error: load_from: no such checkpoint" in line for line in reported)
    assert sum("left out, since" in line for line in reported) == 2
    assert collect(read_study(study_file), out, reported.append) == {}


def test_a_job_that_another_process_runs_is_left_alone(study_file: Path, tmp_path: Path) -> None:
    config = f"_base_: {ROOT / 'bus' / 'bus_scenes_tiny.yaml'}\n"
    (study_file.parent / "bus_scenes_tiny.yaml").write_text(config)
    folder = tmp_path / "out" / "retrieval" / "BUS" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "run.pid").write_text(f"{os.getppid()}\n")
    (folder / "epoch_1.pth").write_text("half a training")
    reported: list[str] = []
    study = read_study(study_file).only(["retrieval"], [0])
    assert run_study(study, tmp_path / "out", jobs=1, worker=WORKER, report=reported.append) == {}
    assert any("another process is running it" in line for line in reported)
    assert (folder / "epoch_1.pth").is_file()


def test_a_run_of_another_config_is_left_alone(study_file: Path, tmp_path: Path) -> None:
    config = f"_base_: {ROOT / 'bus' / 'bus_scenes_tiny.yaml'}\n"
    (study_file.parent / "bus_scenes_tiny.yaml").write_text(config)
    folder = tmp_path / "out" / "retrieval" / "BUS" / "seed_0"
    folder.mkdir(parents=True)
    (folder / RESULT).write_text(json.dumps(result(i2t=1.0)))
    reported: list[str] = []
    study = read_study(study_file).only(["retrieval"], [0])
    assert run_study(study, tmp_path / "out", jobs=1, worker=WORKER, report=reported.append) == {}
    assert any("holds a run of another config. Remove the folder" in line for line in reported)
    assert collect(study, tmp_path / "out", reported.append) == {}
    assert read_result(folder) is not None


def test_a_job_trains_evaluates_and_is_not_run_again(tmp_path: Path) -> None:
    overrides = (*small(tmp_path / "scenes"), "val_cfg.rerank_topk=2", "test_cfg.rerank_topk=2")
    job = Job(str(ROOT / "bus" / "bus_scenes_tiny.yaml"), overrides, seed=3, folder=str(tmp_path / "run"))
    found = run_job(job)
    assert found == read_result(tmp_path / "run")
    assert found["checkpoint"] == "epoch_1.pth" and found["macs_per_sample"] > 1e8
    assert found["samples_per_second"] > 0 or math.isnan(found["samples_per_second"])
    assert "retrieval/i2t_R@1" in found["metrics"]
    assert found["fingerprint"] == job.fingerprint()
    other = Job(job.config, (*overrides, "model.selectors.0.keep_ratio=0.3"), seed=3, folder=job.folder)
    assert other.fingerprint() != job.fingerprint()
    after = Job(job.config, overrides, seed=3, folder=str(tmp_path / "next"), start=job.folder)
    before = after.fingerprint()
    (tmp_path / "run" / RESULT).write_text(json.dumps({**found, "fingerprint": "another"}))
    assert after.fingerprint() != before, "what it starts from has changed"


def test_a_config_that_is_edited_meanwhile_is_not_taken_for_the_trained_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"_base_: {ROOT / 'bus' / 'bus_scenes_tiny.yaml'}\n")

    def edit(*_: object) -> None:
        config.write_text(config.read_text() + "train_cfg: {max_epochs: 7}\n")
        (tmp_path / "run" / "epoch_1.pth").write_bytes(b"")

    monkeypatch.setattr("bus_toolkit.engine.train", edit)
    monkeypatch.setattr("bus_toolkit.engine.evaluate", lambda *_: {})
    job = Job(str(config), (), seed=0, folder=str(tmp_path / "run"))
    job.write()
    before = job.fingerprint()
    assert run_job(job)["fingerprint"] == before != job.fingerprint()


def test_a_start_with_fewer_seeds_serves_all(study_file: Path, tmp_path: Path) -> None:
    text = study_file.read_text().replace("  retrieval:\n", "  retrieval:\n    seeds: [5, 1]\n")
    study_file.write_text(text)
    study = read_study(study_file)
    starts = [_job(study, study.tasks[1], "BUS", seed, tmp_path).start for seed in (0, 1)]
    assert starts == [str(tmp_path / "retrieval" / "BUS" / f"seed_{seed}") for seed in (5, 1)]


def test_a_task_may_have_seeds_of_its_own(study_file: Path) -> None:
    study_file.write_text(
        study_file.read_text().replace("    start: retrieval", "    start: retrieval\n    seeds: [1]")
    )
    assert [task.seeds for task in read_study(study_file).tasks] == [(0, 1), (1,)]


@pytest.mark.parametrize("path", sorted((ROOT / "_studies_").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_ship_can_be_read(path: Path) -> None:
    assert read_study(path).tasks
