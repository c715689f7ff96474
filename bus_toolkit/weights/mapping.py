"""Rename tensors between two layouts by a list of rules, in either direction."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.weights.patterns import Bindings, Pattern


@dataclass(frozen=True)
class Rule:
    """Which tensors of one layout are which of another.

    Attributes:
        sources: Names in the foreign layout. ``None`` means zeros of the size of the others; on the way back that
            piece is dropped. (A bias of the keys is such a piece: it moves all logits of a query alike, which no
            softmax sees.)
        target: Name in the toolkit's layout.
        op: The operation on the tensors, see ``OPERATIONS``.
        only: ``in`` for old names that are understood but never written.
        also: The tensor goes here besides the place that a later rule gives it.
        if_there: The rule holds only if the module has a tensor of this name.
    """

    sources: tuple[Pattern | None, ...]
    target: Pattern
    op: str = "copy"
    only: Literal["in"] | None = None
    also: bool = False
    if_there: Pattern | None = None

    def match(self, name: str, numbers: Mapping[str, int]) -> tuple[bool, Bindings] | None:
        """Return whether ``name`` is the first of the sources, and what fills the holes; ``None`` if it is none."""
        named = [source for source in self.sources if source is not None]
        for index, source in enumerate(named):
            bindings = source.match(name, numbers)
            if bindings is not None:
                return index == 0, bindings
        return None


@dataclass(frozen=True)
class Operation:
    """A change of a tensor's form and the way back.

    Attributes:
        forth: From the pieces of the foreign layout to one tensor.
        back: From that tensor to so many pieces.
    """

    forth: Callable[[Sequence[Tensor]], Tensor]
    back: Callable[[Tensor, int], Sequence[Tensor]]


def _whole(change: Callable[[Tensor], Tensor], undo: Callable[[Tensor], Tensor]) -> Operation:
    return Operation(lambda pieces: change(pieces[0]), lambda tensor, _: [undo(tensor)])


OPERATIONS: dict[str, Operation] = {
    "copy": _whole(lambda t: t, lambda t: t),
    # Queries, keys and values, one below the other.
    "join": Operation(lambda pieces: torch.cat(list(pieces)), lambda tensor, count: tensor.chunk(count)),
    # (D,) to (1, 1, D), and (N, D) to (1, N, D).
    "token": _whole(lambda t: t.reshape(1, 1, -1), lambda t: t.flatten()),
    "table": _whole(lambda t: t.unsqueeze(0), lambda t: t.squeeze(0)),
    # A temperature to the logarithm of its inverse.
    "log_inverse": _whole(lambda t: -at_least_float32(t).log(), lambda t: (-at_least_float32(t)).exp()),
}


@dataclass(frozen=True)
class Mapped:
    """Tensors under their new names.

    Attributes:
        tensors: By new name.
        origins: From which names each was made.
        left: Old names that no rule knows, or whose companions are missing.
    """

    tensors: dict[str, Tensor]
    origins: dict[str, tuple[str, ...]]
    left: list[str]


def to_target(
    tensors: Mapping[str, Tensor], rules: Sequence[Rule], numbers: Mapping[str, int], own: Container[str] = ()
) -> Mapped:
    """Rename from the foreign layout to the toolkit's; the first rule that knows a name decides.

    Args:
        tensors: By the foreign names.
        rules: The table.
        numbers: The shifts of layer numbers in the rules.
        own: Names of the module, for rules that hold only where it has something.
    """
    made: dict[str, Tensor] = {}
    origins: dict[str, tuple[str, ...]] = {}
    for name in tensors:
        for rule in rules:
            matched = rule.match(name, numbers)
            if matched is None or (rule.if_there and rule.if_there.fill(matched[1], numbers) not in own):
                continue
            is_lead, bindings = matched
            if not is_lead:  # its lead puts the pieces together
                if rule.also:
                    continue
                break
            target, names = rule.target.fill(bindings, numbers), _names(rule, bindings, numbers)
            joined = _joined(rule, [None if n is None else tensors.get(n) for n in names], names)
            if joined is not None and target not in made:
                made[target] = joined
                origins[target] = tuple(n for n in names if n is not None)
            if not rule.also:
                break
    used = {name for names in origins.values() for name in names}
    return Mapped(made, origins, [name for name in tensors if name not in used])


def from_target(tensors: Mapping[str, Tensor], rules: Sequence[Rule]) -> Mapped:
    """Rename from the toolkit's layout to the foreign one."""
    made: dict[str, Tensor] = {}
    origins: dict[str, tuple[str, ...]] = {}
    left = []
    for name, tensor in tensors.items():
        for rule in rules:
            bindings = None if rule.only == "in" else rule.target.match(name, {})
            if bindings is None:
                continue
            pieces = OPERATIONS[rule.op].back(tensor, len(rule.sources))
            for source, piece in zip(rule.sources, pieces, strict=True):
                if source is not None:
                    made[source.fill(bindings, {})] = piece
                    origins[source.fill(bindings, {})] = (name,)
            break
        else:
            left.append(name)
    return Mapped(made, origins, left)


def _names(rule: Rule, bindings: Bindings, numbers: Mapping[str, int]) -> list[str | None]:
    return [None if source is None else source.fill(bindings, numbers) for source in rule.sources]


def _joined(rule: Rule, pieces: Sequence[Tensor | None], names: Sequence[str | None]) -> Tensor | None:
    """Return the one tensor made of the pieces, or ``None`` if a named one is missing or they do not go together."""
    model = next((piece for piece in pieces if piece is not None), None)
    if model is None or any(name is not None and piece is None for name, piece in zip(names, pieces, strict=True)):
        return None
    whole = [torch.zeros_like(model) if piece is None else piece for piece in pieces]
    if any(piece.shape[1:] != model.shape[1:] for piece in whole):
        return None
    return OPERATIONS[rule.op].forth(whole)
