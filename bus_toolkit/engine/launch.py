"""Start the processes of a run: one, or several under torchrun, Slurm or MPI, on GPUs (NCCL) or without any (gloo)."""

from __future__ import annotations

import datetime
import gc
import os
import subprocess

import torch
import torch.distributed as dist
from mmengine.config import Config

from bus_toolkit.engine.rank_watch import stop_watch
from bus_toolkit.errors import ConfigError

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
    gloo's, and the model wrapper is set to use no device ids.

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
    # Heads that start late, or a batch without boxes, leave parameters without a gradient: DDP must look for them.
    find_unused = cfg.get("find_unused_parameters", True)
    cfg.find_unused_parameters = find_unused
    if torch.cuda.is_available():
        _check_gpu()
        _open_nccl(cfg)
        return
    cfg.model_wrapper_cfg = {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
        "find_unused_parameters": find_unused,
    }
    if not dist.is_initialized():
        dist.init_process_group(backend="gloo", timeout=datetime.timedelta(seconds=timeout_of(cfg)))


def timeout_of(cfg: Config) -> float:
    """Return how many seconds the ranks of a run wait for each other, ``env_cfg.dist_cfg.timeout``."""
    return float(((cfg.get("env_cfg") or {}).get("dist_cfg") or {}).get("timeout", _SECONDS))


def _open_nccl(cfg: Config) -> None:
    """Open the group as ``env_cfg.dist_cfg`` says; another library's way of opening it is left to the Runner."""
    settings = dict(cfg.get("env_cfg", {}).get("dist_cfg") or {})
    if dist.is_initialized() or settings.pop("init_backend", "torch") != "torch":
        return
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(settings.get("backend", "nccl"), timeout=datetime.timedelta(seconds=timeout_of(cfg)))


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
    env.setdefault("MASTER_PORT", "29500")


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


def _check_gpu() -> None:
    local_rank, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local_rank >= num_gpus:
        raise ConfigError(
            f"--launcher: process {local_rank} of this machine has no GPU, got {num_gpus} visible GPUs. Start at most "
            f"{num_gpus} processes a machine, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on the CPU."
        )
