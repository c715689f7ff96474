"""The backward pass on fake tensors of a GPU that is not there.

torch's engine asks the driver for the streams of the device before it starts, and so cannot run on a machine without
one. This one calls the nodes of the same graph by itself: an operation is run when all that follows it have been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import get_gradient_edge

Gradients = dict[Any, dict[int, Tensor]]
"""By node, the sum of the gradients that have come to each of its outputs."""


def run_backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    keep_graph: bool,
    create_graph: bool,
    inputs: Sequence[Any],
    allow_unreachable: bool = True,
    accumulate_grad: bool = False,
) -> tuple[Tensor | None, ...]:
    """Do what ``torch.autograd`` asks its engine to do; the arguments are the engine's.

    Returns:
        The gradients of ``inputs``, for ``torch.autograd.grad``; nothing where gradients go into ``.grad``.
    """
    roots = [get_gradient_edge(output) for output in outputs]
    wanted = [] if accumulate_grad else [get_gradient_edge(one) if isinstance(one, Tensor) else one for one in inputs]
    known: dict[Any, Tensor | None] = {(edge.node, edge.output_nr): None for edge in wanted}
    sums: Gradients = {}
    for edge, gradient in zip(roots, gradients, strict=True):
        _add(sums, edge.node, edge.output_nr, gradient)
    with torch.set_grad_enabled(create_graph):
        _visit([edge.node for edge in roots], sums, known, skip_leaves=bool(wanted))
    return tuple(known[edge.node, edge.output_nr] for edge in wanted)


def _visit(roots: Sequence[Any], sums: Gradients, known: dict[Any, Tensor | None], *, skip_leaves: bool) -> None:
    """Run every node once, after all that hand it a gradient."""
    missing = _num_callers(roots)
    ready = [node for node in dict.fromkeys(roots) if not missing[node]]
    while ready:
        node = ready.pop()
        arrived = sums.pop(node, {})
        for place, gradient in arrived.items():
            if (node, place) in known:
                known[node, place] = gradient
        is_leaf = not node.next_functions
        results = _call(node, arrived) if arrived and not (is_leaf and skip_leaves) else ()
        for number, (following, place) in enumerate(node.next_functions):
            if following is None:
                continue
            _add(sums, following, place, results[number] if number < len(results) else None)
            missing[following] -= 1
            if not missing[following]:
                ready.append(following)


def _num_callers(roots: Sequence[Any]) -> Counter[Any]:
    """Return for each node how many edges lead to it from the roots."""
    counts: Counter[Any] = Counter()
    seen, left = set(roots), list(dict.fromkeys(roots))
    while left:
        for following, _ in left.pop().next_functions:
            if following is None:
                continue
            counts[following] += 1
            if following not in seen:
                seen.add(following)
                left.append(following)
    return counts


def _call(node: Any, arrived: dict[int, Tensor]) -> tuple[Any, ...]:
    places = [arrived.get(place) for place in range(len(node._input_metadata))]
    results = node.apply(*places) if isinstance(node, BackwardCFunction) else node(*places)
    return results if isinstance(results, tuple) else (results,)


def _add(sums: Gradients, node: Any, place: int, gradient: Tensor | None) -> None:
    """Add a gradient, in the shape and the type that the node's output had, as the engine does."""
    if gradient is None:
        return
    wanted, arrived = node._input_metadata[place], sums.setdefault(node, {})
    if gradient.shape != wanted.shape:
        gradient = gradient.sum_to_size(wanted.shape)
    if gradient.dtype != wanted.dtype:
        gradient = gradient.to(wanted.dtype)
    arrived[place] = arrived[place] + gradient if place in arrived else gradient
