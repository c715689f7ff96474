"""Selectors that were made for a model, kept in its number type and mode after these have changed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Following:
    """Hooks that let selectors follow a model's ``to(dtype)``, ``train`` and ``eval``.

    Only a change is followed: a selector that was set otherwise on purpose stays so until then.

    Args:
        model: The vision-language model.
        selectors: Those that belong to nobody else.
    """

    def __init__(self, model: Any, selectors: Iterable[nn.Module]) -> None:
        self._model, self._selectors = model, list(selectors)
        self._seen = self._now

    def install(self, parts: Iterable[nn.Module]) -> list[RemovableHandle]:
        """Look before each call of one of the ``parts``; return the handles."""
        return [part.register_forward_pre_hook(self._look) for part in parts] if self._selectors else []

    @property
    def _now(self) -> tuple[torch.dtype, bool]:
        return self._model.dtype, self._model.training

    def _look(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        now = self._now
        if now == self._seen:
            return
        for selector in self._selectors:
            selector.to(now[0]).train(now[1])
        self._seen = now


def stay_beside(selector: nn.Module, states: Tensor) -> None:
    """Move a selector to the states that it reads: models move, and may have layers on several devices."""
    first = next(chain(selector.parameters(), selector.buffers()), None)
    if first is not None and first.device != states.device:
        selector.to(states.device)
