"""Silent faults of selectors in a training: scores that are NaN, or that no loss trains."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bus_toolkit.ops.shards import is_shard
from bus_toolkit.selectors.base import PatchSelector

_log = logging.getLogger(__name__)
_INSIDE = "Look for a division by zero, a root or a logarithm in its scores, or for weights that are NaN."
_BEFORE = "The patches that it was given are NaN already: look at the images, and at the backbone before it."


class SelectorFaults:
    """Look for such faults at the steps at which the losses are read, since an answer waits for the device.

    Each fault is one warning, given once. A parameter of a selector is warned of if it has had no gradient although
    every head has taken part from one reading to the next.

    Args:
        model: The bare model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._untrained = _UntrainedParameters(model)
        self._handles: list[RemovableHandle] = []
        self._is_nan: dict[str, Tensor] = {}
        self._came_nan: dict[str, Tensor] = {}
        self._warned: set[str] = set()
        self._all_heads_ran = False

    def watch(self) -> None:
        """Note from now on whether scores are NaN."""
        for name, module in self._model.named_modules():
            if isinstance(module, PatchSelector):
                self._handles.append(module.register_forward_hook(self._noter(f"{name} ({type(module).__name__})")))

    def report(self, step: int) -> None:
        """Warn of the faults seen since ``watch``, and stop watching."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for name, is_nan in self._is_nan.items():
            if name not in self._warned and bool(is_nan):
                self._warned.add(name)
                advice = _BEFORE if bool(self._came_nan[name]) else _INSIDE
                _log.warning(
                    "%s: scores are NaN at step %d, so which patches it keeps means nothing, even with finite losses. "
                    "%s",
                    name,
                    step,
                    advice,
                )
        self._is_nan, self._came_nan = {}, {}
        self._report_untrained(step)

    def _noter(self, name: str) -> Any:
        def note(module: nn.Module, args: Any, decision: Any) -> None:
            for seen, values in ((self._is_nan, decision[1]), (self._came_nan, args[0].patches)):
                is_nan = torch.isnan(values.detach()).any()
                seen[name] = seen[name] | is_nan if name in seen else is_nan

        return note

    def _report_untrained(self, step: int) -> None:
        before, self._all_heads_ran = self._all_heads_ran, self._all_heads_run()
        names = self._untrained.names if before and self._all_heads_ran else []
        if names and "parameters" not in self._warned:
            self._warned.add("parameters")
            _log.warning(
                "%s: no gradient in %d steps, so it does not learn. A ranking has none: set supervised = True and add "
                "PatchTextHead and boxes, let the scores weigh tokens (fuse: normalized), or add a head whose loss "
                "reads the scores and that sees a text (sees = Condition.CAPTION).",
                ", ".join(names),
                step,
            )

    def _all_heads_run(self) -> bool:
        heads, epoch = getattr(self._model, "heads", None), getattr(self._model, "epoch", float("inf"))
        return heads is None or all(getattr(head, "start_epoch", 0.0) <= epoch for head in heads.values())


class _UntrainedParameters:
    """The names of trainable parameters of selectors that have had no gradient yet, not even one of zeros."""

    def __init__(self, model: nn.Module) -> None:
        self._handles: dict[str, RemovableHandle] = {}
        selectors = [(name, part) for name, part in model.named_modules() if isinstance(part, PatchSelector)]
        for name, part in selectors:
            for key, parameter in part.named_parameters():
                if parameter.requires_grad and not is_shard(parameter):  # whose gradients come by another way
                    hook = self._remover(f"{name}.{key}")
                    self._handles[f"{name}.{key}"] = parameter.register_post_accumulate_grad_hook(hook)

    @property
    def names(self) -> list[str]:
        return list(self._handles)

    def _remover(self, name: str) -> Callable[[Tensor], None]:
        def remove(parameter: Tensor) -> None:
            self._handles.pop(name).remove()

        return remove
