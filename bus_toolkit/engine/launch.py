"""Start the processes of a run: one, or several under torchrun, Slurm or MPI, on GPUs (NCCL) or without any (gloo)."""

from __future__ import annotations

import datetime
import gc
import os
import subprocess

import torch
import torch.distributed as dist
from mmengine.config import Config

from bus_toolkit.engine.parallel.own_gpu import own_gpu
from bus_toolkit.engine.rank_watch import stop_watch
from bus_toolkit.engine.restart_store import store_of_restart
from bus_toolkit.errors import ConfigError

_PORT = 29_500  # torch's own default
_SECONDS = 1800  # torch's own default for gloo; that for NCCL is 600
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
_STARTERS = {
    "pytorch": "torchrun -m bus_toolkit",
    "slurm": "srun python -m bus_toolkit",
    "mpi": "mpirun python -m bus_toolkit",
}
_VARIABLES = {
    "pytorch": ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
}


def init_distributed(launcher: str, cfg: Config) -> None:
    """Prepare ``cfg`` and the process group for ``launcher``.

    The group is there before the Runner, so that the ranks can agree on what they start from. With GPUs it is NCCL's,
    as MMEngine's Runner would open it. Without, its own start would call ``torch.cuda.set_device`` and die: here it is
    gloo's.

    Raises:
        ConfigError: The launcher's environment variables are missing, several processes were started without
            ``--launcher``, or a process has no GPU of its own.
    """
    cfg.launcher = launcher
    if launcher == "none":
        _refuse_unlaunched_processes()
        return
    if launcher not in LAUNCHERS:
        raise ConfigError(f"--launcher: unknown launcher, got {launcher!r}. Allowed: {', '.join(LAUNCHERS)}.")
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise ConfigError(
            f"--launcher {launcher}: the environment has no {', '.join(missing)}. Start the run with "
            f"{_STARTERS[launcher]}."
        )
    _export_torch_variables(launcher)
    if torch.cuda.is_available():
        _open_nccl(cfg, own_gpu())
    elif not dist.is_initialized():
        dist.init_process_group(
            backend="gloo", timeout=datetime.timedelta(seconds=timeout_of(cfg)), **store_of_restart()
        )


def timeout_of(cfg: Config) -> float:
    """Return how many seconds the ranks of a run wait for each other, ``env_cfg.dist_cfg.timeout``."""
    return float(((cfg.get("env_cfg") or {}).get("dist_cfg") or {}).get("timeout", _SECONDS))


def _open_nccl(cfg: Config, gpu: int) -> None:
    """Open the group as ``env_cfg.dist_cfg`` says; another library's way of opening it is left to the Runner."""
    settings = dict(cfg.get("env_cfg", {}).get("dist_cfg") or {})
    if dist.is_initialized() or settings.pop("init_backend", "torch") != "torch":
        return
    torch.cuda.set_device(gpu)
    seconds = datetime.timedelta(seconds=timeout_of(cfg))
    dist.init_process_group(settings.get("backend", "nccl"), timeout=seconds, **store_of_restart())


def shutdown_distributed() -> None:
    """Close the process group if one is open; call it when nothing outside reference cycles holds the model any more.

    A wrapped model that is still alive keeps the group's threads running until the interpreter ends, and then they can
    abort a process that has done its work.
    """
    stop_watch()
    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()


def _refuse_unlaunched_processes() -> None:
    world_size = os.environ.get("WORLD_SIZE", "1")
    if "LOCAL_RANK" in os.environ and world_size not in ("", "1"):
        raise ConfigError(
            f"--launcher: torchrun started {world_size} processes but the launcher is 'none', so each would train "
            "alone into the same folder. Add --launcher pytorch."
        )


def _export_torch_variables(launcher: str) -> None:
    """Set the variables that torch.distributed and MMEngine read from those of the launcher."""
    env = os.environ
    if launcher == "slurm":
        env["RANK"], env["WORLD_SIZE"] = env["SLURM_PROCID"], env["SLURM_NTASKS"]
        env.setdefault("LOCAL_RANK", env.get("SLURM_LOCALID", "0"))
        if "MASTER_ADDR" not in env:
            env["MASTER_ADDR"] = _first_slurm_machine(env["SLURM_NODELIST"])
    elif launcher == "mpi":
        env["RANK"], env["WORLD_SIZE"] = env["OMPI_COMM_WORLD_RANK"], env["OMPI_COMM_WORLD_SIZE"]
        env["LOCAL_RANK"] = env["OMPI_COMM_WORLD_LOCAL_RANK"]
    env.setdefault("MASTER_ADDR", "127.0.0.1")
    env.setdefault("MASTER_PORT", str(_slurm_port() if launcher == "slurm" else _PORT))


def _slurm_port() -> int:
    """Return a port that all processes of a job step know, and that other steps and jobs hardly have: our choice.

    Between 12,000 and 32,000, below those that Linux gives to clients.
    """
    job, step = (int(os.environ.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return 12_000 + (job + 7_919 * step) % 20_000


def _first_slurm_machine(node_list: str) -> str:
    try:
        result = subprocess.run(
            ["scontrol", "show", "hostname", node_list], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"--launcher slurm: cannot ask scontrol for the first machine of {node_list!r} ({error}). "
            "Set MASTER_ADDR yourself."
        ) from error
    return result.stdout.split()[0]
