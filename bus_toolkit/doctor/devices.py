"""Which devices PyTorch sees, and why not those that are there."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from bus_toolkit.doctor.finding import Finding, fault, ok, warning

_GIB = 2**30


def check() -> list[Finding]:
    """Look at CUDA, its devices and NCCL."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        is_there = torch.cuda.is_available()
    if not is_there:
        return [_without_cuda(" ".join(str(one.message).splitlines()[0] for one in said))]
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else "missing"
    findings = [
        ok(f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, NCCL {nccl}")
    ]
    if nccl == "missing" and torch.cuda.device_count() > 1:
        findings.append(warning("no NCCL for several GPUs", "Install a build of PyTorch that has it."))
    return [*findings, *map(_device, range(torch.cuda.device_count()))]


def _without_cuda(said: str) -> Finding:
    """Return why there is no GPU; a machine without one is well."""
    if not _has_gpu():
        return ok(f"no GPU, so that runs use the CPU; torch {torch.__version__}")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return warning(f"a GPU that CUDA_VISIBLE_DEVICES={hidden} hides", "Unset it, or name a device such as 0.")
    if torch.version.cuda is None:
        return fault("a GPU, but a build of PyTorch for the CPU", "Install PyTorch's build for your CUDA.")
    return fault(
        f"a GPU that PyTorch cannot use: {said or 'it gives no reason'}",
        f"Its driver must be new enough for CUDA {torch.version.cuda} (see nvidia-smi): update it, or install a build "
        "of PyTorch for an older CUDA.",
    )


def _has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _device(index: int) -> Finding:
    properties = torch.cuda.get_device_properties(index)
    capability = f"{properties.major}.{properties.minor}"
    free, total = torch.cuda.mem_get_info(index)
    memory = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    words = f"cuda:{index}: {properties.name}, compute capability {capability}, {memory}"
    if free < 0.5 * total:
        return warning(words, "Another process uses it (nvidia-smi names it). End that one, or take another device.")
    return ok(words)
