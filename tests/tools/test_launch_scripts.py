"""The shell launchers, with stand-ins for torchrun and srun that print their words one a line."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SCRIPTS = ["dist_train.sh", "dist_test.sh", "slurm_train.sh", "slurm_test.sh"]


@pytest.fixture
def call(tmp_path):
    for name in ("torchrun", "srun"):
        (tmp_path / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / name).chmod(0o755)

    def run(script, *words, **environment):
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | environment
        result = subprocess.run(["bash", TOOLS / script, *words], capture_output=True, text=True, env=env)
        return result.returncode, result.stdout.splitlines(), result.stderr

    return run


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_syntax_is_right_and_the_file_can_be_run(script):
    subprocess.run(["bash", "-n", TOOLS / script], check=True)
    assert os.access(TOOLS / script, os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS)
def test_too_few_words_print_the_usage(call, script):
    code, _, message = call(script, "only_one")
    assert code == 2 and message.startswith(f"usage: tools/{script} ")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "PORT", "DRY_RUN", "MAX_RESTARTS"):
        monkeypatch.delenv(name, raising=False)


def meeting(endpoint):
    return ["--rdzv_backend=c10d", f"--rdzv_endpoint={endpoint}", "--rdzv_id=bus_toolkit"]


def test_dist_train_starts_torchrun(call):
    _, words, _ = call("dist_train.sh", "my config.yaml", "2", "--amp", "--cfg-options", "a.b=1 2")
    assert words[:5] == ["--nnodes=1", *meeting("127.0.0.1:0"), "--nproc_per_node=2"]
    assert words[5].endswith("tools/train.py")
    assert words[6:] == ["my config.yaml", "--launcher", "pytorch", "--amp", "--cfg-options", "a.b=1 2"]


@pytest.mark.parametrize("name", ["PORT", "MASTER_PORT"])
def test_a_port_can_be_chosen(call, name):
    assert call("dist_train.sh", "c.yaml", "2", **{name: "4000"})[1][1:4] == meeting("127.0.0.1:4000")


def test_several_machines_meet_at_one_of_them(call):
    _, words, _ = call("dist_train.sh", "c.yaml", "8", NNODES="2", MASTER_ADDR="node1")
    assert words[:4] == ["--nnodes=2", *meeting("node1:29500")] and "--resume" not in words
    _, words, _ = call("dist_train.sh", "c.yaml", "8", NNODES="2", MASTER_ADDR="node1", NODE_RANK="1", PORT="7")
    assert words[:4] == ["--nnodes=2", "--node_rank=1", "--master_addr=node1", "--master_port=7"]
    code, _, message = call("dist_train.sh", "c.yaml", "8", NNODES="2")
    assert code == 2 and message.endswith("got NNODES=2 and no MASTER_ADDR. Set it.\n")


@pytest.mark.parametrize(
    ("gpus", "environment", "says"),
    [
        (
            "--resume",
            {},
            "GPUS must be the number of processes on this machine, or auto, cpu or gpu as in torchrun, got '--resume'",
        ),
        ("0", {}, "GPUS must be the number of processes on this machine, or auto, cpu or gpu as in torchrun, got '0'"),
        ("2", {"MASTER_PORT": "70000"}, "PORT (or MASTER_PORT) must be a number from 0 to 65535, got '70000'"),
        ("2", {"MASTER_PORT": "free"}, "PORT (or MASTER_PORT) must be a number from 0 to 65535, got 'free'"),
        ("2", {"NNODES": "4:2"}, "NNODES must be the least number of machines before the most (2:4), got '4:2'"),
        ("2", {"NNODES": "two"}, "NNODES must be a number of machines, or the least and the most (2:4), got 'two'"),
        ("2", {"NNODES": "2", "NODE_RANK": "2"}, "NODE_RANK must be from 0 and below NNODES (2), got '2'"),
        (
            "2",
            {"MAX_RESTARTS": "yes"},
            "MAX_RESTARTS must be how often all processes start again, a whole number, got 'yes'",
        ),
        ("2", {"SHUTDOWN_TIMEOUT": "2m"}, "SHUTDOWN_TIMEOUT must be a whole number of seconds, got '2m'"),
    ],
)
def test_a_value_that_torchrun_would_refuse_in_a_traceback_is_refused_before(call, gpus, environment, says):
    assert call("dist_train.sh", "c.yaml", gpus, **environment) == (2, [], f"dist_train.sh: {says}.\n")


@pytest.mark.parametrize("value", ["auto", "cpu", "gpu"])
def test_torchrun_may_count_the_processes(call, value):
    assert call("dist_train.sh", "c.yaml", value)[1][4] == f"--nproc_per_node={value}"


def test_slurm_takes_numbers_and_a_work_dir(call):
    code, _, message = call("slurm_train.sh", "p", "j", "c.yaml", "--amp")
    assert (code, message) == (2, "slurm_train.sh: WORK_DIR must be a folder, got '--amp'.\n")
    code, _, message = call("slurm_test.sh", "p", "j", "c.yaml", "a.pth", GPUS="eight")
    assert (code, message) == (2, "slurm_test.sh: GPUS must be the number of all processes, got 'eight'.\n")


def test_an_elastic_training_goes_on_from_its_newest_checkpoint(call):
    _, words, _ = call("dist_train.sh", "c.yaml", "8", NNODES="2:4", MASTER_ADDR="node1", MAX_RESTARTS="3")
    assert words[0] == "--nnodes=2:4" and words[5] == "--max_restarts=3"
    assert words[7:] == ["c.yaml", "--launcher", "pytorch", "--resume"]


def test_a_dry_run_prints_the_command_of_several_machines_and_of_slurm(call, tmp_path):
    environment = {"DRY_RUN": "1", "NNODES": "4", "MASTER_ADDR": "node1", "MASTER_PORT": "4000"}
    code, shown, _ = call("dist_train.sh", "my config.yaml", "8", "--amp", **environment)
    start = (
        "torchrun --nnodes=4 --rdzv_backend=c10d --rdzv_endpoint=node1:4000 --rdzv_id=bus_toolkit --nproc_per_node=8 "
    )
    assert (code, len(shown)) == (0, 1) and shown[0].startswith(start)
    assert shown[0].endswith(r"tools/train.py my\ config.yaml --launcher pytorch --amp ")
    work_dir = tmp_path / "work"
    environment = {"DRY_RUN": "1", "GPUS": "16", "SRUN_ARGS": "--gpus-per-task=1"}
    code, shown, _ = call("slurm_train.sh", "part", "job", "c.yaml", str(work_dir), **environment)
    assert code == 0 and not work_dir.exists()
    assert shown[0].startswith("srun -p part --job-name=job --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 ")
    assert shown[0].endswith(f"tools/train.py c.yaml --work-dir {work_dir} --launcher slurm ")


def test_dist_test_passes_the_checkpoint(call):
    _, words, _ = call("dist_test.sh", "c.yaml", "w.pth", "2", "--out", "m.json")
    assert words[6:] == ["c.yaml", "w.pth", "--launcher", "pytorch", "--out", "m.json"]


def test_slurm_train_starts_srun(call):
    environment = {"GPUS": "16", "GPUS_PER_NODE": "4", "CPUS_PER_TASK": "6", "SRUN_ARGS": "--quotatype=auto -x node3"}
    _, words, _ = call("slurm_train.sh", "part", "job", "c.yaml", "work", "--resume", **environment)
    assert words[:7] == [
        "-p",
        "part",
        "--job-name=job",
        "--gres=gpu:4",
        "--ntasks=16",
        "--ntasks-per-node=4",
        "--cpus-per-task=6",
    ]
    assert words[8:11] == ["--quotatype=auto", "-x", "node3"]
    assert words[14:] == ["c.yaml", "--work-dir", "work", "--launcher", "slurm", "--resume"]


def test_slurm_test_passes_the_checkpoint(call):
    _, words, _ = call("slurm_test.sh", "part", "job", "c.yaml", "w.pth")
    assert words[-4:] == ["c.yaml", "w.pth", "--launcher", "slurm"]


STOPPED = """#!/bin/sh
echo "run $(echo "$@" | grep -c -e --resume)"
[ -e again ] || { touch again; echo $SIGNAL > "$BUS_TOOLKIT_STOP_NOTE"; exit 1; }
"""


@pytest.fixture
def stopped(call, tmp_path, monkeypatch):
    """Let the first start be stopped by ``SIGNAL``, and scontrol print its words."""
    monkeypatch.chdir(tmp_path)
    for name in ("torchrun", "srun"):
        (tmp_path / name).write_text(STOPPED)
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho "scontrol $*"\n')
    (tmp_path / "scontrol").chmod(0o755)
    return call


def test_a_stopped_training_ends_with_75_whatever_torchrun_makes_of_it(stopped, tmp_path):
    code, shown, message = stopped("dist_train.sh", "c.yaml", "2", SIGNAL="SIGTERM", TMPDIR=str(tmp_path))
    assert code == 75 and shown == ["run 0"]
    assert message == "dist_train.sh: stopped by SIGTERM; the same command with --resume goes on.\n"
    assert not list(tmp_path.glob("*stopped*"))
    assert stopped("dist_train.sh", "c.yaml", "2", TMPDIR=str(tmp_path))[::2] == (0, "")


def test_slurm_waits_for_machines_again_after_sigusr1_only(stopped, tmp_path):
    words = ("slurm_train.sh", "part", "job", "c.yaml", "work")
    code, shown, _ = stopped(*words, SIGNAL="SIGTERM")
    assert code == 75 and shown == ["run 0"]
    (tmp_path / "again").unlink()
    code, shown, message = stopped(*words, SIGNAL="SIGUSR1")
    assert code == 0 and shown == ["run 0", "run 1"]
    assert message == "slurm_train.sh: stopped before the end; waiting for machines again.\n"
    (tmp_path / "again").unlink()
    assert stopped(*words, SIGNAL="SIGUSR1", REQUEUE="0")[:2] == (75, ["run 0"])


def test_a_job_goes_back_into_the_queue_and_resumes_when_it_starts_again(stopped):
    words = ("slurm_train.sh", "part", "job", "c.yaml", "work")
    code, shown, _ = stopped(*words, SIGNAL="SIGUSR1", SLURM_JOB_ID="17")
    assert code == 75 and shown == ["run 0", "scontrol requeue 17"]
    code, shown, _ = stopped(*words, SLURM_JOB_ID="17", SLURM_RESTART_COUNT="1")
    assert code == 0 and shown == ["run 1"]


SLEEPS = """#!/usr/bin/env python3
import os, signal, sys
def take(number, frame):
    os.write(1, f"{signal.Signals(number).name}\\n".encode())  # print may be at work below
    sys.exit(75)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    assert signal.getsignal(number) is not signal.SIG_IGN
    signal.signal(number, take)
os.write(1, b"up\\n")
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_to_the_script_reach_the_training(call, tmp_path, number):
    (tmp_path / "torchrun").write_text(SLEEPS)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["bash", TOOLS / "dist_train.sh", "c.yaml", "2"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    shown, _ = process.communicate(timeout=60)
    assert (shown, process.returncode) == (f"{number.name}\n", 75)
