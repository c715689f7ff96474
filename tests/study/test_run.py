"""The queue of jobs, with a worker that only writes a result and a planner that counts nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.study import run as run_module
from bus_toolkit.study.jobs import Job, all_jobs, needed
from bus_toolkit.study.listing import deviations, estimate, job_lines, summary
from bus_toolkit.study.matching import Cost
from bus_toolkit.study.planner import PlannedJob
from bus_toolkit.study.processes import Process, ended_at_last
from bus_toolkit.study.reading import read_study
from bus_toolkit.study.results import FAILURE, RESULT, Status, read_results
from bus_toolkit.study.run import RunRule, run_jobs
from bus_toolkit.study.states import states_of

# Writes the result of a job; one whose config is "bad" fails; each notes when it ran.
WORKER = """
import json, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
began = time.time()
order = json.loads((folder / "job.json").read_text())
if (folder / "job.yaml").read_text() == "bad":
    print("error: no such data")
    sys.exit(2)
time.sleep(float(sys.argv[0] == "-c") * 0.02)
keys = ("task", "arm", "keep", "seed", "fingerprint", "changes")
train = {"seconds": time.time() - began, "samples_per_second": 1.0, "steps": 1}
result = {**{key: order[key] for key in keys}, **order["cost"], "metrics": {}, "train": train, "minutes": 2.0}
(folder / "result.json").write_text(json.dumps(result))
if order["keeps_checkpoint"]:
    (folder / "iter_1.pth").touch()
with open(folder.parents[3] / "times", "a") as file:
    print(folder.parents[2].name, folder.parents[1].name, began, time.time(), file=file)
"""
RULE = RunRule((sys.executable, "-I", "-S", "-c", WORKER), jobs=2)


class NoCounts:
    def save(self) -> None:
        pass


class FakePlanner:
    """Plans without a look at any config; ``texts`` by arm stand for the configs."""

    texts: dict[str, str] = {}

    def __init__(self, *_: Any) -> None:
        self.counts = NoCounts()

    def plan(self, job: Job) -> PlannedJob:
        text = self.texts.get(job.key.arm, "good")
        if text == "wrong":
            raise ConfigError("model: no such part.")
        cost = Cost(
            110, 10, 300, None if job.key.arm in ("full", "needles") else 100, {"block 1": 9, "decoder": 4}, (96, 96)
        )
        return PlannedJob(job, text, f"{job.key.name} {text}", {}, cost)


@pytest.fixture(autouse=True)
def planner(monkeypatch: pytest.MonkeyPatch) -> type[FakePlanner]:
    monkeypatch.setattr(run_module, "Planner", FakePlanner)
    monkeypatch.setattr(run_module, "_POLL", 0.005)
    monkeypatch.setattr(FakePlanner, "texts", {})
    return FakePlanner


class Runs:
    """Runs of one study into one folder, and what was reported."""

    def __init__(self, file: Path, out: Path) -> None:
        self.study, self.out = read_study(file), out
        self.reported: list[str] = []

    def __call__(self, *patterns: str, **rule: Any) -> int:
        self.reported.clear()
        jobs = needed(all_jobs(self.study), patterns)
        return len(run_jobs(self.study, jobs, self.out, replace(RULE, **rule), self.reported.append))

    def statuses(self) -> list[str]:
        states = states_of(all_jobs(self.study), FakePlanner(), self.out)
        return [state.status.value for state in states.values()]

    def times(self) -> list[tuple[str, str, float, float]]:
        rows = [line.split() for line in (self.out / "times").read_text().splitlines()]
        return [(task, arm, float(began), float(ended)) for task, arm, began, ended in rows]


@pytest.fixture
def runs(arms_file: Path, tmp_path: Path) -> Runs:
    return Runs(arms_file, tmp_path / "out")


def test_jobs_run_once_and_those_that_are_alone_beside_no_other(runs: Runs) -> None:
    patterns = ("attribute/*/*/seed_0", "race")
    assert runs(*patterns, jobs=3) == 9
    races = [row for row in runs.times() if row[0] == "race"]
    others = runs.times()
    assert len(races) == 2
    for _, arm, began, ended in races:
        assert all(
            end <= began or start >= ended for task, other, start, end in others if (task, other) != ("race", arm)
        )
    first = runs.times()[0]
    assert first[0] == "start" and all(row[2] >= first[3] for row in others[1:])
    assert runs(*patterns) == 9 and not any("min." in line for line in runs.reported), "all were done before"
    assert len(runs.times()) == 9
    entries = {entry.key.name: entry.result for entry in read_results(runs.study, runs.out)}
    found = entries["race/TSPS/keep_0.11/seed_0"]
    assert found is not None and found.macs == {"inference": 110, "shared": 10, "step": 300}
    assert entries["attribute/full/keep_1/seed_1"] is None
    assert [entry.status for entry in read_results(runs.study, runs.out)].count(Status.DUE) == 5


def test_a_job_that_fails_leaves_a_gap_and_waits_to_be_asked(runs: Runs, planner: type[FakePlanner]) -> None:
    planner.texts = {"TSPS": "bad"}
    assert runs("race") == 1
    assert any("failed (exit code 2): error: no such data All of it is in" in line for line in runs.reported)
    assert runs("race") == 1 and any("failed before: error: no such data Give --retry" in x for x in runs.reported)
    (folder,) = (path.parent for path in runs.out.rglob(FAILURE))
    assert runs("race", retry=True) == 1 and (folder / FAILURE).is_file()
    planner.texts = {"TSPS": "other"}  # its config has changed
    assert runs("race") == 2 and not (folder / FAILURE).exists()


def test_what_starts_from_a_job_that_failed_is_left_out(runs: Runs, planner: type[FakePlanner]) -> None:
    planner.texts = {"needles": "bad", "full": "wrong"}
    assert runs("attribute/*/keep_0.25/seed_0", "attribute/full") == 0
    assert sum("left out, since" in line for line in runs.reported) == 2
    assert "attribute/full/keep_1/seed_0 and 1 more: refused: model: no such part." in runs.reported


def test_checkpoints_stay_where_jobs_of_a_later_call_start_from_them(runs: Runs) -> None:
    assert not runs.study.keep_checkpoints
    assert runs("start") == 1 and runs("race/full") == 1
    (checkpoint,) = runs.out.rglob("*.pth")
    assert checkpoint.parent == runs.out / "start/needles/keep_1/seed_0"
    checkpoint.unlink()
    assert runs("attribute/full/*/seed_0") == 1
    assert any("has a result, but its checkpoint is gone. Remove result.json there" in x for x in runs.reported)


def test_a_run_of_another_config_is_left_alone_unless_it_shall_be_replaced(
    runs: Runs, planner: type[FakePlanner]
) -> None:
    assert runs("race/full") == 1
    planner.texts = {"full": "other"}
    assert runs("race/full") == 0
    assert any("holds a run of another config. Give --replace" in line for line in runs.reported)
    assert runs("race/full", replace=True) == 1
    (file,) = runs.out.rglob(RESULT)
    file.write_text("{}")  # of no version that is known
    assert runs("race/full") == 0 and file.read_text() == "{}"


def test_no_job_begins_when_the_time_is_up(runs: Runs) -> None:
    assert runs("race", seconds=0.0) == 0
    assert runs.reported[-1] == "2 jobs are still due: the time was up."


def test_a_job_that_another_process_runs_is_left_alone(runs: Runs) -> None:
    folder = runs.out / "race/full/keep_1/seed_0"
    folder.mkdir(parents=True)
    process = Process((sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"), folder, 1)
    with (folder / "run.pid").open("r+") as file:
        file.write("99999999\n")  # as in another container, or on another machine: no number of a process here
    assert runs("race/full") == 0 and any("another process is running it" in line for line in runs.reported)
    process.ask_to_end()
    process.wait(10)
    (folder / "run.pid").write_text(f"{os.getppid()}\n")  # the number is used again, by another program
    assert runs("race/full") == 1


@pytest.mark.parametrize(
    ("last_words", "reported"),
    [
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "ended from outside (Killed, as by a system without free memory). Its ",
        ),
        ("print('data are gone'); sys.exit(3)", "failed (exit code 3): data are gone All of it is in "),
        (
            "import shutil; shutil.rmtree(sys.argv[1]); sys.exit(1)",
            "failed (exit code 1): its output cannot be read: No such file or directory.",
        ),
    ],
)
def test_why_a_job_failed_is_said_also_where_it_could_not_say_so(runs: Runs, last_words: str, reported: str) -> None:
    rule = replace(RULE, worker=(sys.executable, "-I", "-S", "-c", f"import os, signal, sys; {last_words}"))
    jobs = needed(all_jobs(runs.study), ("race/full",))
    assert not run_jobs(runs.study, jobs, runs.out, rule, runs.reported.append)
    assert any(reported in line for line in runs.reported)


def test_an_error_after_the_result_was_written_is_no_failure(runs: Runs) -> None:
    rule = replace(RULE, worker=(sys.executable, "-I", "-S", "-c", f"{WORKER}\nimport os; os.abort()"))
    jobs = needed(all_jobs(runs.study), ("race/full",))
    assert len(run_jobs(runs.study, jobs, runs.out, rule, runs.reported.append)) == 1
    assert runs.reported[-1].endswith("exit code -6 after it had finished.")
    assert not list(runs.out.rglob(FAILURE))


def test_two_studies_in_one_folder_do_not_run_a_job_twice(runs: Runs, arms_file: Path) -> None:
    other = Runs(arms_file, runs.out)

    def run_the_other_one_first(line: str) -> None:
        runs.reported.append(line)
        if len(runs.reported) == 1:
            assert other("race") == 2

    jobs = needed(all_jobs(runs.study), ("race",))
    assert len(run_jobs(runs.study, jobs, runs.out, replace(RULE, jobs=1), run_the_other_one_first)) == 2
    assert len(runs.times()) == 2 and any("another process has finished it" in line for line in runs.reported)


def test_a_folder_that_cannot_be_written_is_named(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bus_toolkit.study.work.write_whole", fill)
    with pytest.raises(ConfigError, match="--out: cannot write .*race/full/keep_1/seed_0: No space left on device"):
        runs("race/full")


def test_what_is_done_due_and_estimated_is_listed(runs: Runs, planner: type[FakePlanner]) -> None:
    planner.texts = {"oracle boxes": "wrong"}
    runs("race/full")
    assert runs.statuses().count("waiting for its start") == 7 and runs.statuses().count("done") == 1
    states = states_of(all_jobs(runs.study), FakePlanner(), runs.out)
    head, *lines = job_lines(states, 0.03)
    assert head.split()[0] == "job" and len(lines) == 14
    done = next(line for line in lines if line.startswith("race/full"))
    assert done.split() == ["race/full/keep_1/seed_0", "done", "0.0", "0.0", "9", ">", "4", "96", "2.0"]
    assert any("+10.0%!" in line and line.endswith("~2.0") for line in lines)
    assert "attribute, TSPS, keep 0.25: costs +10.0% of the budget" in deviations(states.values(), 0.03)[0]
    assert deviations(states.values(), 0.11) == []
    first, *rest = summary(states, 2)
    assert first == "14 jobs: 1 done, 2 due, 7 waiting for its start, 4 refused."
    assert rest[-1] == "The 9 that are due take about 0.1 h, 2 at a time."
    assert [state.status for state in states.values()].count(Status.REFUSED) == 4


def test_minutes_are_estimated_by_counted_macs(runs: Runs) -> None:
    runs("race/full")
    states = {key.name: state for key, state in states_of(all_jobs(runs.study), FakePlanner(), runs.out).items()}
    like = states["race/TSPS/keep_0.11/seed_0"]
    assert like.plan is not None and estimate(like, states.values()) == 2.0
    heavy = replace(like, plan=replace(like.plan, cost=replace(like.plan.cost, step=900)))
    assert estimate(heavy, states.values()) == 6.0


ENDLESS = """
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
(Path(sys.argv[1]).parents[3] / "pids").write_text(str(child.pid))
time.sleep(60)
"""
PROBE = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # after nohup it is ignored, in the tests' processes, too
from bus_toolkit.study.processes import Process, ended_at_last
folder = Path(sys.argv[1])
running = []
with ended_at_last(running) as ending:
    running.append(Process((sys.executable, "-I", "-S", "-c", sys.argv[2]), folder, 1))
    while running[0].code() is None:
        ending.check()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_jobs_and_their_processes_and_removes_what_they_wrote(
    number: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "task" / "arm" / "keep_1" / "seed_0"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", PROBE, str(folder), ENDLESS]
    with subprocess.Popen(command) as process:
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert not folder.exists()
    for _ in range(500):  # a killed process is gone when the system has come to it
        if not _is_alive(int((tmp_path / "pids").read_text())):
            break
        time.sleep(0.02)
    else:
        pytest.fail("a process of the job is still there")


def test_a_signal_that_is_ignored_stays_ignored_so_that_a_study_goes_on_after_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_at_last([]) as ending:
            signal.raise_signal(signal.SIGHUP)
            ending.check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
