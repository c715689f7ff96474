"""MMEngine's ``activation_checkpointing``: modules by pattern, and a wrapper that accepts our parts' arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import mmengine.runner.runner as mmengine_runner
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from bus_toolkit.backbones.block_passes import RECOMPUTED
from bus_toolkit.engine.compile_parts import blocks_of
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.signatures import did_you_mean

KEY = "activation_checkpointing"


def matching_modules(model: nn.Module, patterns: str | Sequence[str], key: str = KEY) -> list[str]:
    """Return the names of all modules that ``patterns`` name, in the model's order.

    Args:
        model: The bare model.
        patterns: Module names as in ``model.named_modules()``; a ``*`` matches one part of a name, so that
            ``backbone.vit.layers.*`` are the blocks and nothing inside them.
        key: Where they are written, for messages.

    Raises:
        ConfigError: A pattern that names no module, or only modules without a forward pass, such as lists of blocks.
    """
    names = [name for name, _ in model.named_modules() if name]
    by_pattern = _by_pattern(names, patterns)
    problems = []
    for pattern, matching in by_pattern.items():
        if not matching:
            hint = did_you_mean(pattern, names)
            problems.append(f"{key}: the model has no module {pattern!r}.{hint} A * matches one part of a name.")
        elif not any(_has_forward(model.get_submodule(name)) for name in matching):
            kinds = ", ".join(sorted({type(model.get_submodule(name)).__name__ for name in matching}))
            problems.append(
                f"{key}: {pattern!r} must name modules that run, got {kinds}, without a forward pass of its own: it "
                f"would save no memory. {_what_works(model, matching[0])}"
            )
    if problems:
        raise ConfigError(problems)
    matched = {name for matching in by_pattern.values() for name in matching}
    return [name for name in names if name in matched and _has_forward(model.get_submodule(name))]


def recompute_in_backward(model: nn.Module, patterns: str | Sequence[str]) -> None:
    """Let the modules that ``patterns`` name keep no activations, and run them again in the backward pass.

    It replaces ``mmengine.runner.activation_checkpointing``. The wrapper there passes on positional arguments only, but
    text and fusion layers need keywords. It also uses torch's reentrant variant, which gives no gradient to a part that
    gets its tensors inside a data class. A pattern none of whose modules runs in the first training step (a backbone
    that selectors enter between its blocks) ends that step with a ``ConfigError``.
    """
    names = matching_modules(model, patterns)
    for name in names:
        module = model.get_submodule(name)
        module.forward = wraps(module.forward)(partial(checkpoint, module.forward, use_reentrant=False))
        setattr(module, RECOMPUTED, True)  # for blocks that a selector enters between their halves
    if names:
        _FirstStep(model, _by_pattern(names, patterns))


class _FirstStep:
    """Watch which modules run until a training step of all objectives is over; then refuse patterns that had no effect.

    Args:
        model: The bare model.
        by_pattern: The modules of each pattern.
    """

    def __init__(self, model: nn.Module, by_pattern: Mapping[str, Sequence[str]]) -> None:
        self._by_pattern, self._ran = by_pattern, set[str]()
        watched = {name for names in by_pattern.values() for name in names}
        self._handles = [model.get_submodule(name).register_forward_hook(partial(self._note, name)) for name in watched]
        self._handles.append(model.register_forward_hook(self._check))

    def _note(self, name: str, *_: Any) -> None:
        self._ran.add(name)

    def _check(self, model: nn.Module, *_: Any) -> None:
        if not (model.training and torch.is_grad_enabled()) or _waits_for_heads(model):
            return
        for handle in self._handles:
            handle.remove()
        # A selector enters its block between the halves, which does not run the block's own forward pass.
        entered = {name for name, module in model.named_modules() if any(module is block for block in blocks_of(model))}
        problems = [
            f"{KEY}: no module of {pattern!r} ran as a whole in a training step, so it saves no memory. "
            f"{_what_works(model, names[0])}"
            for pattern, names in self._by_pattern.items()
            if not (self._ran | entered).intersection(names)
        ]
        if problems:
            raise ConfigError(problems)


def _waits_for_heads(model: nn.Module) -> bool:
    """Return whether a head of a ``VLPModel`` joins in later: what it alone uses has not run yet."""
    return isinstance(model, VLPModel) and any(head.start_epoch > model.epoch for head in model.heads.values())


def _by_pattern(names: Sequence[str], patterns: str | Sequence[str]) -> dict[str, list[str]]:
    listed = [patterns] if isinstance(patterns, str) else list(patterns)
    return {
        pattern: [name for name in names if re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), name)]
        for pattern in listed
    }


def _has_forward(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward


def _what_works(model: nn.Module, name: str) -> str:
    """Return what to write in place of a module that never runs: the largest list of blocks in it, or its parts."""
    module = model.get_submodule(name)
    lists = [(f"{name}.{inner}" if inner else name, part) for inner, part in module.named_modules()]
    sizes = {path: sum(p.numel() for p in part.parameters()) for path, part in lists if isinstance(part, nn.ModuleList)}
    if sizes:
        return f"Write {max(sizes, key=lambda path: sizes[path])}.*, the modules of its list."
    if any(_has_forward(child) for child in module.children()):
        return f"Write {name}.*, its parts."
    return "Take it out."


@contextmanager
def own_checkpointing() -> Iterator[None]:
    """Let MMEngine's Runner call :func:`recompute_in_backward` as long as this is open."""
    theirs, mmengine_runner.turn_on_activation_checkpointing = (
        mmengine_runner.turn_on_activation_checkpointing,
        recompute_in_backward,
    )
    try:
        yield
    finally:
        mmengine_runner.turn_on_activation_checkpointing = theirs
