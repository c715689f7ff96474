"""The shell launchers, with stand-ins for torchrun and srun that print their words one a line."""

import os
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


def test_dist_train_starts_torchrun(call):
    _, words, _ = call("dist_train.sh", "my config.yaml", "2", "--amp", "--cfg-options", "a.b=1 2", PORT="4000")
    assert words[:5] == [
        "--nnodes=1",
        "--node_rank=0",
        "--master_addr=127.0.0.1",
        "--master_port=4000",
        "--nproc_per_node=2",
    ]
    assert words[5].endswith("tools/train.py")
    assert words[6:] == ["my config.yaml", "--launcher", "pytorch", "--amp", "--cfg-options", "a.b=1 2"]


def test_several_machines_are_set_by_the_environment(call):
    _, words, _ = call("dist_train.sh", "c.yaml", "8", NNODES="2", NODE_RANK="1", MASTER_ADDR="node1")
    assert words[:3] == ["--nnodes=2", "--node_rank=1", "--master_addr=node1"]


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
