"""Mixed precision: choose MMEngine's wrapper on a GPU, ours on the CPU."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import LOOPS, OPTIM_WRAPPERS

_log = logging.getLogger(__name__)
_GPU_WRAPPER = "AmpOptimWrapper"
_CPU_WRAPPER = "bus_toolkit.CPUAmpOptimWrapper"


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast on the CPU; goes into the slot ``optim_wrapper``.

    MMEngine's ``AmpOptimWrapper`` refuses to run without an accelerator. bfloat16 has the exponent range of float32, so
    no loss scaling is needed.

    Args:
        dtype: Only ``bfloat16``; there so that a GPU config can be read.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.

    Raises:
        ConfigError: Another ``dtype``.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        if dtype != "bfloat16":
            raise ConfigError(f"optim_wrapper.dtype: the CPU autocasts to bfloat16 only, got {dtype!r}. Remove it.")
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Open the autocast region around the forward pass of ``model``."""
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def use_amp(cfg: Config) -> None:
    """Replace the plain optimizer wrapper of ``cfg`` by the mixed-precision one of this machine (``--amp``).

    Raises:
        ConfigError: ``cfg`` has no ``optim_wrapper``, or one that is neither plain nor mixed precision.
    """
    wrapper = cfg.get("optim_wrapper")
    kind = None if wrapper is None else wrapper.get("type", "OptimWrapper")
    if wrapper is None or kind not in ("OptimWrapper", _GPU_WRAPPER, _CPU_WRAPPER):
        raise ConfigError(
            f"--amp: it works on an optim_wrapper of type OptimWrapper or {_GPU_WRAPPER}, got {kind!r}. "
            "Choose one of these, or set the precision in your own wrapper."
        )
    wrapper.type = _GPU_WRAPPER
    fit_amp_to_device(cfg)


def fit_amp_to_device(cfg: Config) -> None:
    """Make a mixed-precision ``optim_wrapper`` run on this machine; leave any other as it is."""
    wrapper = cfg.get("optim_wrapper")
    if wrapper is None or wrapper.get("type") not in (_GPU_WRAPPER, _CPU_WRAPPER):
        return
    if not torch.cuda.is_available():
        if wrapper.get("dtype", "bfloat16") != "bfloat16":
            _log.warning("optim_wrapper.dtype: the CPU has no %s autocast, using bfloat16.", wrapper.dtype)
        for key in ("dtype", "loss_scale", "use_fsdp"):
            wrapper.pop(key, None)
        wrapper.type = _CPU_WRAPPER
        return
    wrapper.type = _GPU_WRAPPER
    wrapper.setdefault("dtype", _gpu_dtype())
    if wrapper.dtype == "bfloat16":
        wrapper.setdefault("loss_scale", {"enabled": False})


def evaluate_in_amp(cfg: Config) -> None:
    """Let a test loop of MMEngine's kind use autocast: it closes an outer region unless its ``fp16`` says otherwise."""
    loop = cfg.get("test_cfg")
    kind = None if loop is None else LOOPS.get(loop.get("type", "TestLoop"))
    if kind is not None and "fp16" in inspect.signature(kind).parameters:
        loop.fp16 = True


def autocast() -> AbstractContextManager[None]:
    """Return the autocast region for an evaluation on this machine (``tools/test.py --amp``)."""
    if torch.cuda.is_available():
        return torch.autocast("cuda", dtype=getattr(torch, _gpu_dtype()))
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _gpu_dtype() -> str:
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
