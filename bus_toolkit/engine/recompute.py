"""MMEngine's ``activation_checkpointing``: modules by pattern, and a wrapper that accepts our parts' arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps

import mmengine.runner.runner as mmengine_runner
from torch import nn
from torch.utils.checkpoint import checkpoint

from bus_toolkit.backbones.block_passes import RECOMPUTED
from bus_toolkit.errors import ConfigError
from bus_toolkit.signatures import did_you_mean

KEY = "activation_checkpointing"


def matching_modules(model: nn.Module, patterns: str | Sequence[str]) -> list[str]:
    """Return the names of all modules that ``patterns`` name, in the model's order.

    Args:
        model: The bare model.
        patterns: Module names as in ``model.named_modules()``; a ``*`` matches one part of a name, so that
            ``backbone.vit.layers.*`` are the blocks and nothing inside them.

    Raises:
        ConfigError: A pattern that names no module.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    names = [name for name, _ in model.named_modules() if name]
    matched: set[str] = set()
    problems = []
    for pattern in patterns:
        matching = [name for name in names if re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), name)]
        matched.update(matching)
        if not matching:
            hint = did_you_mean(pattern, names)
            problems.append(f"{KEY}: the model has no module {pattern!r}.{hint} A * matches one part of a name.")
    if problems:
        raise ConfigError(problems)
    return [name for name in names if name in matched]


def recompute_in_backward(model: nn.Module, patterns: str | Sequence[str]) -> None:
    """Let the modules that ``patterns`` name keep no activations, and run them again in the backward pass.

    It replaces ``mmengine.runner.activation_checkpointing``. The wrapper there passes on positional arguments only, but
    text and fusion layers need keywords. It also uses torch's reentrant variant, which gives no gradient to a part that
    gets its tensors inside a data class.
    """
    for name in matching_modules(model, patterns):
        module = model.get_submodule(name)
        module.forward = wraps(module.forward)(partial(checkpoint, module.forward, use_reentrant=False))
        setattr(module, RECOMPUTED, True)  # for blocks that a selector enters between their halves


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
