"""What the modules around a language model were called with, while they run, for one thread at a time.

A language model reads embeddings alone. Which of them are images, and where an answer begins, is in the arguments of
the modules that call it: the model with its head, the one without, and whatever is wrapped around them.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from bus_toolkit.huggingface.one_at_a_time import OneAtATime


class Callers:
    """The arguments of all modules that a language model is part of, by their names.

    Args:
        model: The outermost module.
        decoder: The language model.
    """

    def __init__(self, model: nn.Module, decoder: nn.Module) -> None:
        # From the outside in, as ``modules`` lists them.
        self._modules = [one for one in model.modules() if one is not decoder and _holds(one, decoder)]
        self._running: dict[int, dict[str, Any]] = {}
        self._turn = OneAtATime()

    def install(self) -> list[RemovableHandle]:
        """Put the hooks in and return their handles."""
        handles = []
        for depth, module in enumerate(self._modules):
            hook = _CallerHook(self, depth)
            handles.append(module.register_forward_pre_hook(hook.before, with_kwargs=True))
            # After an error, too, or the next call would find these arguments.
            handles.append(module.register_forward_hook(hook.after, always_call=True))
        return handles

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the modules that run now that are not ``None``; those of inner ones count."""
        return {name: value for one in self._running.values() for name, value in one.items() if value is not None}

    def begin(self, depth: int, arguments: dict[str, Any]) -> None:
        """Note what the module at ``depth`` is called with; waits while another thread's call runs."""
        self._turn.take()
        self._drop(depth)  # of a call of this thread that was broken off
        self._running[depth] = arguments

    def end(self, depth: int) -> None:
        """Forget it, and whatever is inside it."""
        # After an error in somebody else's hook the call may not have begun here.
        if self._turn.is_mine:
            self._drop(depth)

    def _drop(self, depth: int) -> None:
        for one in [one for one in self._running if one >= depth]:
            del self._running[one]
            self._turn.give_back()


class _CallerHook:
    """Hooks that know how deep their module is."""

    def __init__(self, callers: Callers, depth: int) -> None:
        self._callers, self._depth = callers, depth

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._callers.begin(self._depth, {**_named(module, args), **kwargs})

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._callers.end(self._depth)


def _holds(module: nn.Module, decoder: nn.Module) -> bool:
    return any(one is decoder for one in module.modules())


def _named(module: nn.Module, args: tuple[Any, ...]) -> dict[str, Any]:
    """Return positional arguments by the names that ``forward`` gives them; wrappers that take any have no names."""
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return dict(zip([one.name for one in parameters if one.kind in places], args, strict=False))
