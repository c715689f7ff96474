"""Compare renamed tensors with a module before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.ops.position_table import PositionTable, change
from bus_toolkit.ops.rotary import eva02_angles
from bus_toolkit.weights.finding import Renamed, layer_numbers
from bus_toolkit.weights.fitting import Fitting, Misfit, index_names, patch_grid
from bus_toolkit.weights.layouts import Target
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.patterns import matches
from bus_toolkit.weights.reading import Source

_SHOWN = 3


@dataclass
class Comparison:
    """The tensors to load, and the reasons against loading them.

    Attributes:
        tensors: By the module's names, in its shapes.
        resized: Names with both shapes.
        missing: Parameters that stay as they are.
        unexpected: Tensors of the source without a place that do not matter.
        problems: Reasons not to load, a clause each.
        advice: Settings that the user can change.
        notes: What the user should know once the tensors are in.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(
    module: nn.Module,
    source: Source,
    renamed: Renamed,
    target: Target,
    tables: Mapping[str, PositionTable],
    rule: LoadRule | None = None,
) -> Comparison:
    """Compare the tensors of a source with those of ``module``, which stays as it is.

    Args:
        module: Gets them.
        source: For the grids of its positions.
        renamed: Its tensors by the module's names.
        target: How such a module names its tensors.
        tables: Tables of positions by the module's names.
        rule: Parts that stay as they are, and parts that are left out.
    """
    rule = rule or LoadRule()
    own, fitting = module.state_dict(), Fitting(module, target, renamed.layout, tables)
    indices = index_names(tables)
    out = Comparison(unexpected=list(renamed.left))
    out.problems += _sizes(renamed.tensors, own, target)
    if out.problems:
        out.advice.append("Give the model these sizes, or take weights of its own")
        return out
    _sort_surplus(own, target, renamed, out, rule)
    for name, tensor in renamed.tensors.items():
        if name not in own or name in indices or rule.is_new(name):
            continue
        if tensor.shape != own[name].shape and not own[name].is_floating_point():
            continue  # an index of positions, which the module makes for its own grid
        try:
            fitted = fitting.fit(name, tensor, own[name], source.grid_of(renamed.origin(name)))
        except Misfit as error:
            out.problems.append(str(error))
            continue
        if fitted is not tensor:
            out.resized.append(change(name, tensor, fitted))
            out.notes += fitting.notes(name, tensor, own[name])
        out.tensors[name] = fitted
    _add_fills(out, own, renamed)
    _add_angles(module, out, own, target, renamed)
    _check_ties(module, out)
    _check_missing(module, renamed, target, out, rule)
    for texts in (out.problems, out.advice, out.notes):
        texts[:] = dict.fromkeys(texts)
    return out


def _sizes(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], target: Target) -> list[str]:
    """Return each size that differs, in words; a stack that may take the first layers needs no more than there are."""
    differ = []
    for label, how in target.sizes.items():
        theirs, ours = _size(tensors, how), _size(own, how)
        if not theirs or not ours:
            continue
        first = any(how.get("count", "").startswith(start) for start in target.first_layers)
        if theirs != ours and not (first and theirs > ours):
            differ.append(f"{label} {theirs}, got a model with {ours}")
    return differ


def _size(tensors: Mapping[str, Tensor], how: Mapping[str, Any]) -> int:
    if "count" in how:
        return len(layer_numbers(tensors, how["count"]))
    tensor = tensors.get(how["of"])
    return tensor.shape[how["dim"]] if tensor is not None and tensor.dim() > how["dim"] else 0


def _sort_surplus(own: Mapping[str, Tensor], target: Target, renamed: Renamed, out: Comparison, rule: LoadRule) -> None:
    """Note what is missing for the model: tensors that it needs, and tensors that it can do without."""
    kinds = {_kind(name) for name in own}
    gone = tuple(part for part in target.parts if not any(name.startswith(part) for name in own))
    needed = []
    for name in [*(name for name in renamed.tensors if name not in own), *renamed.unknown]:
        deeper = _kind(name) in kinds
        may_go = (
            name.startswith(gone) or matches(name, target.optional) or (deeper and name.startswith(target.first_layers))
        )
        # Without a table, names of another form are those of a head beside the tower.
        beside = renamed.layout is None and not deeper and not matches(name, tuple(target.settings))
        if may_go or beside or rule.is_unused(name):
            out.unexpected += renamed.origins.get(name, (name,))
        else:
            needed.append(name)
    if needed:
        out.problems.append(f"it has {_listed(needed)}, which the model does not have")
        out.advice += _settings(needed, target, "surplus")


def _add_fills(out: Comparison, own: Mapping[str, Tensor], renamed: Renamed) -> None:
    """Set what such a source never has to the value that means nothing."""
    for text, value in (renamed.layout.fills if renamed.layout else {}).items():
        for name in own:
            if name not in out.tensors and matches(name, (text,)):
                out.tensors[name] = torch.full_like(own[name], value)


def _add_angles(
    module: nn.Module, out: Comparison, own: Mapping[str, Tensor], target: Target, renamed: Renamed
) -> None:
    """Set the angles of EVA-02 if the source computes them and the model has them among its tensors."""
    if renamed.layout is None or not renamed.layout.angles:
        return
    for name in own:
        grid = patch_grid(module, name)
        if matches(name, target.angles) and grid is not None:
            out.tensors[name] = eva02_angles(grid, own[name].shape[1], name[-3:])


def _check_ties(module: nn.Module, out: Comparison) -> None:
    """Refuse two different tensors for weights that the model shares."""
    groups: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    for names in groups.values():
        given = [name for name in names if name in out.tensors]
        if any(not torch.equal(out.tensors[given[0]], out.tensors[name]) for name in given[1:]):
            out.problems.append(f"{given[0]} and {given[1]} differ in it and are one tensor in the model")


def _check_missing(module: nn.Module, renamed: Renamed, target: Target, out: Comparison, rule: LoadRule) -> None:
    """Note parameters that get nothing, and which of them the source should give."""
    given = {id(p) for name, p in module.named_parameters(remove_duplicate=False) if name in out.tensors}
    failed = set(renamed.tensors) - set(out.tensors)
    ungiven = [n for n, p in module.named_parameters() if id(p) not in given and n not in failed]
    if renamed.layout is None:  # a table of another library says itself what it does not give
        ungiven += [name for name in _statistics(module) if name not in out.tensors and name not in failed]
    missing = [name for name in ungiven if not matches(name, target.derived)]
    lacking, gives = (renamed.layout.lacking, renamed.layout.gives) if renamed.layout else ((), ())
    needed = [name for name in missing if not matches(name, lacking) and (not gives or matches(name, gives))]
    needed = [name for name in needed if not rule.is_new(name)]
    out.missing = missing
    if needed:
        out.problems.append(f"it has no {_listed(needed)}, which the model has")
        out.advice += _settings(needed, target, "missing")


def _statistics(module: nn.Module) -> list[str]:
    """Return the names of the running means and variances of batch norms."""
    own = module.state_dict()
    return [name for name in own if name.endswith((".running_mean", ".running_var"))]


def _settings(names: Iterable[str], target: Target, side: str) -> list[str]:
    """Return what to change in the model for tensors that only one side has."""
    names = list(names)
    said = [getattr(s, side) for text, s in target.settings.items() if any(matches(n, (text,)) for n in names)]
    return list(dict.fromkeys(said))


def _kind(name: str) -> str:
    return re.sub(r"\.\d+\.", ".0.", name)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
