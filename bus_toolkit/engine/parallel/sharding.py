"""Which modules of a model are gathered one by one when its weights are spread over the ranks.

FSDP2 gathers the weights of a *unit* before its forward pass and lets go of them afterwards; what is in no unit belongs
to the whole model and stays gathered for a step. A unit must therefore run by its own forward pass. The blocks of a
backbone do not where selectors enter them: these are let in by :func:`let_in`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

from torch import nn
from torch.distributed.fsdp import register_fsdp_forward_method

from bus_toolkit.backbones.block_passes import ENTERED
from bus_toolkit.engine.compile_parts import blocks_of, parts_of
from bus_toolkit.engine.recompute import matching_modules
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.vlp import VLPModel


def units_of(model: nn.Module, patterns: Sequence[str] | None) -> list[nn.Module]:
    """Return the units of a model, without any inside another one, in its order.

    Args:
        model: The bare model.
        patterns: Names of modules, as in ``activation_checkpointing``; ``None`` for the blocks of the backbone and the
            other parts of a ``VLPModel``, of its momentum copies too. Any other model is then one unit.

    Raises:
        ConfigError: A pattern names nothing that runs.
    """
    if patterns is not None:
        names = matching_modules(model, patterns, "model_wrapper_cfg.units")
        return _outermost([model.get_submodule(name) for name in names])
    if not isinstance(model, VLPModel):
        return []
    found = [unit for owner in _owners(model) for unit in parts_of(owner)]
    return _outermost([unit for unit in found if any(True for _ in unit.parameters())])


def refuse_shared_weights(model: nn.Module, units: Sequence[nn.Module]) -> None:
    """Refuse a weight of two units, or of a unit and the rest of the model.

    torch does so from 2.13 on. Before, each unit kept a part of its own, of which one rank's may never be trained
    (pytorch/pytorch#176076).

    Raises:
        ConfigError: There is one.
    """
    wanted = {id(unit) for unit in units}
    paths = {name: id(part) for name, part in model.named_modules(remove_duplicate=False) if id(part) in wanted}
    owners: dict[int, tuple[int | None, str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        parts = name.split(".")
        above = (".".join(parts[:end]) for end in range(len(parts)))
        unit = next((paths[path] for path in above if path in paths), None)
        first_unit, first = owners.setdefault(id(parameter), (unit, name))
        if first_unit != unit:
            raise ConfigError(
                f"model_wrapper_cfg.units: {name} is the weight {first} of another unit, and only one may hold it. "
                "Name units that share no weights, or a module around them."
            )


def _owners(model: nn.Module) -> list[Any]:
    """Return what has a backbone of its own: the model, and its momentum copies."""
    momentum = getattr(model, "momentum", None)
    return [model] if momentum is None else [model, momentum.copies]


def entered_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of the backbone, and of its momentum copy, which selectors enter."""
    return [block for owner in _owners(model) for block in blocks_of(owner)]


def _outermost(modules: Sequence[nn.Module]) -> list[nn.Module]:
    inner = {id(part) for module in modules for part in module.modules() if part is not module}
    return [module for module in modules if id(module) not in inner]


def let_in(block: Any) -> None:
    """Let those who run a block by its parts do so with its weights gathered (``block_passes.in_block``)."""
    block.run_part = MethodType(_run_part, block)
    register_fsdp_forward_method(block, "run_part")
    setattr(block, ENTERED, _Entry(block))


def _run_part(block: nn.Module, work: Callable[..., Any], *inputs: Any) -> Any:
    return work(*inputs)


class _Entry:
    """Calls work on a block with its weights gathered; inside of another such call, as they are."""

    def __init__(self, block: Any) -> None:
        self._run_part, self._is_inside = block.run_part, False

    def __call__(self, work: Callable[..., Any], *inputs: Any) -> Any:
        if self._is_inside:
            return work(*inputs)
        self._is_inside = True
        try:
            return self._run_part(work, *inputs)
        finally:
            self._is_inside = False
