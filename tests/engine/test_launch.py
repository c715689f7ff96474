import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from bus_toolkit.engine import RunOptions, build_runner, launch
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.launch import init_distributed
from bus_toolkit.errors import ConfigError
from tests.engine.tiny_run import tiny_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare_environment(monkeypatch):
    launcher_names = [name for name in os.environ if name.startswith(("SLURM_", "OMPI_"))]
    elastic_names = [name for name in os.environ if name.startswith("TORCHELASTIC_")]
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"]
    for name in [*names, *launcher_names, *elastic_names]:
        monkeypatch.setenv(name, "")  # noted, so that what a test sets is undone
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def opened(bare_environment):
    """Record the process groups that would be opened."""
    groups = []
    bare_environment.setattr(torch.cuda, "is_available", lambda: False)
    bare_environment.setattr(launch.dist, "init_process_group", lambda **kwargs: groups.append(kwargs))
    return groups


def set_env(monkeypatch, **values):
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_one_process_opens_no_group(opened):
    cfg = Config({})
    init_distributed("none", cfg)
    assert cfg.launcher == "none" and opened == [] and "model_wrapper_cfg" not in cfg


def test_a_machine_without_a_gpu_uses_gloo(opened, bare_environment):
    set_env(bare_environment, RANK="1", LOCAL_RANK="1", WORLD_SIZE="2")
    cfg = Config({"env_cfg": {"dist_cfg": {"timeout": 60}}})
    init_distributed("pytorch", cfg)
    assert opened[0]["backend"] == "gloo" and opened[0]["timeout"].total_seconds() == 60
    assert "model_wrapper_cfg" not in cfg and "find_unused_parameters" not in cfg


def test_slurm_variables_are_translated(opened, bare_environment, tmp_path):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho node7\necho node8\n")
    (tmp_path / "scontrol").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    set_env(
        bare_environment, SLURM_PROCID="3", SLURM_NTASKS="4", SLURM_NODELIST="node[7-8]", SLURM_LOCALID="1", PATH=path
    )
    init_distributed("slurm", Config({}))
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    assert [os.environ[name] for name in names] == ["3", "4", "1", "node7", "12000"]


@pytest.mark.parametrize(("job", "step", "port"), [("7", "0", "12007"), ("7", "1", "19926"), ("20008", "0", "12008")])
def test_two_slurm_jobs_on_a_machine_have_ports_of_their_own(opened, bare_environment, job, step, port):
    values = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_NODELIST": "n", "MASTER_ADDR": "n"}
    set_env(bare_environment, SLURM_JOB_ID=job, SLURM_STEP_ID=step, **values)
    init_distributed("slurm", Config({}))
    assert os.environ["MASTER_PORT"] == port
    set_env(bare_environment, MASTER_PORT="4000")
    init_distributed("slurm", Config({}))
    assert os.environ["MASTER_PORT"] == "4000"


def test_mpi_variables_are_translated(opened, bare_environment):
    set_env(bare_environment, OMPI_COMM_WORLD_RANK="1", OMPI_COMM_WORLD_LOCAL_RANK="0", OMPI_COMM_WORLD_SIZE="2")
    init_distributed("mpi", Config({}))
    assert [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")] == ["1", "2", "0"]


def test_slurm_without_scontrol_is_reported(opened, bare_environment, tmp_path):
    set_env(bare_environment, SLURM_PROCID="0", SLURM_NTASKS="1", SLURM_NODELIST="n", PATH=str(tmp_path))
    with pytest.raises(ConfigError, match="cannot ask scontrol for the first machine of 'n'.*Set MASTER_ADDR yourself"):
        init_distributed("slurm", Config({}))


@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_a_launcher_without_its_environment_is_reported(bare_environment, launcher):
    with pytest.raises(ConfigError, match=f"--launcher {launcher}: the environment has no .* Start the run with"):
        init_distributed(launcher, Config({}))


def test_an_unknown_launcher_is_reported():
    with pytest.raises(ConfigError, match="unknown launcher, got 'ssh'. Allowed: none, pytorch, slurm, mpi"):
        init_distributed("ssh", Config({}))


def test_forgetting_the_launcher_is_reported(bare_environment):
    set_env(bare_environment, LOCAL_RANK="0", WORLD_SIZE="2")
    with pytest.raises(ConfigError, match="torchrun started 2 processes but .* is 'none'.*Add --launcher pytorch"):
        init_distributed("none", Config({}))


def test_a_process_without_a_gpu_of_its_own_is_reported(bare_environment):
    bare_environment.setattr(torch.cuda, "is_available", lambda: True)
    bare_environment.setattr(torch.cuda, "device_count", lambda: 1)
    set_env(bare_environment, RANK="1", LOCAL_RANK="1", WORLD_SIZE="2")
    with pytest.raises(ConfigError, match="process 1 of this machine has no GPU, got 1 visible GPUs"):
        init_distributed("pytorch", Config({}))


def test_a_slurm_task_that_sees_its_own_gpu_alone_takes_it(bare_environment):
    bare_environment.setattr(torch.cuda, "is_available", lambda: True)
    bare_environment.setattr(torch.cuda, "device_count", lambda: 1)
    taken = []
    bare_environment.setattr(torch.cuda, "set_device", taken.append)
    bare_environment.setattr(launch.dist, "init_process_group", lambda *_, **__: None)
    values = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_NODELIST": "n", "SLURM_LOCALID": "3", "MASTER_ADDR": "n"}
    set_env(bare_environment, **values)
    init_distributed("slurm", Config({}))
    assert taken == [0] and os.environ["LOCAL_RANK"] == "3"  # one process of a machine downloads for it
    set_env(bare_environment, TORCHELASTIC_RUN_ID="x")  # torchrun in a job shows all of its processes the same GPUs
    with pytest.raises(ConfigError, match="process 3 of this machine has no GPU, got 1 visible GPUs"):
        init_distributed("pytorch", Config({}))


def tiny_weights(launcher, batch_size):
    """Train the tiny model for one epoch; return the weights of this process."""
    cfg = tiny_config(f"run_{launcher}", max_epochs=1, batch_size=batch_size)
    cfg.model.spare = True  # parameters without a gradient
    cfg.train_dataloader.sampler.shuffle = False
    runner = build_runner(cfg, RunOptions(launcher=launcher, no_validate=True))
    runner.train()
    return unwrap(runner.model).linear.weight.flatten().tolist()


def weights_of_rank(rank, folder):
    os.chdir(folder)
    return tiny_weights("pytorch", 4)


@pytest.mark.slow
def test_two_processes_without_a_gpu_learn_what_one_does(tmp_path, bare_environment, two_ranks):
    bare_environment.setattr(torch.cuda, "is_available", lambda: False)
    expected = torch.tensor(tiny_weights("none", 8))
    for weights in two_ranks(weights_of_rank, tmp_path):
        torch.testing.assert_close(torch.tensor(weights), expected, atol=1e-6, rtol=1e-5)
