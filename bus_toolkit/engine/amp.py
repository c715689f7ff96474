"""Mixed precision: choose MMEngine's wrapper on a GPU, ours on the CPU."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from bus_toolkit.engine.cpu_attention import CPU_ATTENTION, CpuAttention, cpu_attention
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import LOOPS, OPTIM_WRAPPERS

_GPU_WRAPPER = "AmpOptimWrapper"
_CPU_WRAPPER = "bus_toolkit.CPUAmpOptimWrapper"
_DTYPES = ("bfloat16", "float16")


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(AmpOptimWrapper):
    """Run the forward pass under autocast on the CPU; goes into the slot ``optim_wrapper``.

    MMEngine's ``AmpOptimWrapper`` does the work. This class adds two things: it starts without an accelerator, and it
    allows float16 in the CPU's autocast.

    Args:
        optimizer: A built optimizer; filled in from ``optim_wrapper.optimizer``.
        dtype: ``bfloat16``, which has the exponent range of float32 and needs no loss scaling, or ``float16``.
        loss_scale: For float16, as in ``AmpOptimWrapper``: ``dynamic``, a number, or arguments of torch's
            ``GradScaler``.
        accumulative_counts: Backward passes an optimizer step.
        clip_grad: Arguments of torch's ``clip_grad_norm_`` or, with ``type: value``, ``clip_grad_value_``.
        attention: How attention is computed: ``fused``, ``fused_float32`` or ``unfused`` (``cpu_attention``). A GPU,
            whose fused kernels are fast in half precision, has no use for it.

    Raises:
        ConfigError: Another ``dtype`` or ``attention``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        dtype: str = "bfloat16",
        loss_scale: Literal["dynamic"] | float | dict[str, Any] = "dynamic",
        accumulative_counts: int = 1,
        clip_grad: dict[str, Any] | None = None,
        attention: CpuAttention = "fused",
    ) -> None:
        _check_dtype(dtype)
        if attention not in CPU_ATTENTION:
            raise ConfigError(
                f"optim_wrapper.attention: must be one of {', '.join(CPU_ATTENTION)}, got {attention!r}. Choose one."
            )
        OptimWrapper.__init__(self, optimizer, accumulative_counts=accumulative_counts, clip_grad=clip_grad)
        settings: dict[str, Any] = {"enabled": dtype == "float16"}
        if isinstance(loss_scale, Mapping):
            settings |= loss_scale
        elif loss_scale != "dynamic":
            settings["init_scale"] = loss_scale
        self.loss_scaler = torch.amp.GradScaler("cpu", **settings)
        self._scale_update_param = settings["init_scale"] if isinstance(loss_scale, float) else None
        self.cast_dtype = getattr(torch, dtype)
        self.attention: CpuAttention = attention

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Open the autocast region around the forward pass of ``model``."""
        autocast_region = torch.autocast("cpu", dtype=self.cast_dtype)
        with OptimWrapper.optim_context(self, model), autocast_region, cpu_attention(self.attention):
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
    """Make a mixed-precision ``optim_wrapper`` run on this machine; leave any other as it is.

    Raises:
        ConfigError: A ``dtype`` that no machine autocasts to.
    """
    wrapper = cfg.get("optim_wrapper")
    if wrapper is None or wrapper.get("type") not in (_GPU_WRAPPER, _CPU_WRAPPER):
        return
    on_gpu = torch.cuda.is_available()
    wrapper.setdefault("dtype", _gpu_dtype() if on_gpu else "bfloat16")
    _check_dtype(wrapper.dtype)
    if wrapper.dtype == "bfloat16":
        wrapper.setdefault("loss_scale", {"enabled": False})
    elif isinstance(wrapper.get("loss_scale"), int):
        wrapper.loss_scale = float(wrapper.loss_scale)  # MMEngine takes a float only
    wrapper.type = _GPU_WRAPPER if on_gpu else _CPU_WRAPPER
    wrapper.pop("attention" if on_gpu else "use_fsdp", None)


def _check_dtype(dtype: object) -> None:
    if dtype not in _DTYPES:
        raise ConfigError(
            f"optim_wrapper.dtype: must be one of {', '.join(_DTYPES)}, got {dtype!r}. Choose one of them."
        )


def evaluate_in_amp(cfg: Config) -> None:
    """Let a test loop of MMEngine's kind use autocast: it closes an outer region unless its ``fp16`` says otherwise."""
    loop = cfg.get("test_cfg")
    kind = None if loop is None else LOOPS.get(loop.get("type", "TestLoop"))
    if kind is not None and "fp16" in inspect.signature(kind).parameters:
        loop.fp16 = True


def autocast() -> AbstractContextManager[None]:
    """Return the autocast region for an evaluation on this machine (``bus-toolkit test --amp``)."""
    if torch.cuda.is_available():
        return torch.autocast("cuda", dtype=getattr(torch, _gpu_dtype()))
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _gpu_dtype() -> str:
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
