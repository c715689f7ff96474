"""Spread the model of a training that is about to begin, if its wrapper does so; refuse what does not go with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from bus_toolkit.engine.batches import wrappers_of
from bus_toolkit.engine.parallel.fsdp2 import FSDP2
from bus_toolkit.errors import ConfigError


def shard_model(runner: Runner) -> None:
    """Spread a model in ``FSDP2``, with the state of its optimizers; nothing else, and not in an evaluation alone.

    Args:
        runner: Its model and optimizers are initialised, loaded or resumed.

    Raises:
        ConfigError: A setting that does not go with it.
    """
    model: Any = runner.model
    if not isinstance(model, FSDP2) or not isinstance(runner.optim_wrapper, OptimWrapper | OptimWrapperDict):
        return
    problems = list(_problems(runner, model))
    if problems:
        raise ConfigError(problems)
    wrappers: list[Any] = list(wrappers_of(runner.optim_wrapper))
    model.shard(wrapper.optimizer for wrapper in wrappers)
    for wrapper in wrappers:  # its first call before a step averages for all
        wrapper.before_clipping = model.average_replicated


def _problems(runner: Runner, model: FSDP2) -> Iterator[str]:
    if any(isinstance(hook, EMAHook) for hook in runner.hooks):
        yield (
            "custom_hooks: EMAHook keeps a whole copy of the model, got it beside FSDP2, which spreads it. Leave the "
            "average out, or train with DDP."
        )
    if runner.cfg.get("compile"):
        yield "compile: was not tried with FSDP2, got both. Set compile: false, or train with DDP."
    wrappers: list[Any] = list(wrappers_of(runner.optim_wrapper))
    for wrapper in wrappers:
        scaler = getattr(wrapper, "loss_scaler", None)
        if scaler is not None and scaler.is_enabled():
            yield (
                "optim_wrapper.dtype: float16 needs the scaling of losses, which was not tried with FSDP2. Write "
                "bfloat16, or train with DDP."
            )
    if model.param_dtype == "bfloat16" and not all(isinstance(wrapper, AmpOptimWrapper) for wrapper in wrappers):
        yield (
            "model_wrapper_cfg.param_dtype: bfloat16 needs optim_wrapper.type AmpOptimWrapper (--amp), got it without. "
            "Add it, or leave param_dtype out."
        )
