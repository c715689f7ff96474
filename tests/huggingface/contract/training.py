"""Losses and gradients under a selection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.huggingface.families import decoder_of
from tests.huggingface.contract.by_hand import loss_by_hand
from tests.huggingface.contract.check import ROUNDING, Check, Measured, figure
from tests.huggingface.contract.places import places, selection
from tests.huggingface.parts import Learned
from tests.huggingface.reference import kept_by_stage
from tests.huggingface.tiny import WIDTH, Tiny


@contextmanager
def _training(tiny: Tiny) -> Iterator[dict[str, Any]]:
    """Put the model into training mode and yield samples of two images and of one."""
    tiny.model.train()
    try:
        yield tiny.with_labels([tiny.row(2), tiny.row(1, (7, 9, 8, 11))])
    finally:
        tiny.model.eval()
        tiny.model.zero_grad()


def _gradients(loss: Tensor, *modules: Any) -> list[Tensor]:
    """Return the loss and its gradients by all parameters that it depends on; zeros by the others."""
    for module in modules:
        module.zero_grad()
    loss.backward()
    own = [one for module in modules for one in module.parameters()]
    return [loss.detach(), *(torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in own)]


def _relative(got: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the largest difference, in parts of the largest number of its tensor.

    Some gradients are zero but for rounding, such as that of a bias of keys; 1e-2 is little beside all others.
    """
    return max(
        float((one - other).abs().max() / other.abs().max().clamp(min=1e-2))
        for one, other in zip(got, wanted, strict=True)
    )


def _loss(tiny: Tiny) -> Measured:
    worst, gradients = 0.0, 0.0
    with _training(tiny) as inputs:
        for where in ("inside", "projected", "both"):
            with reduce_tokens(tiny.model, **selection(where, 0.25)) as reduction:
                got = _gradients(tiny.model(**inputs).loss, tiny.model)
                kept = kept_by_stage(reduction)
            wanted = _gradients(loss_by_hand(tiny.model, inputs, kept), tiny.model)
            worst = max(worst, _relative(got[:1], wanted[:1]))
            gradients = max(gradients, _relative(got[1:], wanted[1:]))
    return Measured(max(worst, gradients), f"{figure(worst)}, {figure(gradients)}")


@contextmanager
def _checkpointed(tiny: Tiny, reentrant: bool) -> Iterator[list[None]]:
    """Switch gradient checkpointing on, and yield a list that grows by each run of the last layer.

    A part of the layer is watched: in transformers 5 a second run leaves out the layer's own hooks.
    """
    runs: list[None] = []
    tiny.model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    part = decoder_of(tiny.model).layers[-1].mlp
    handle = part.register_forward_pre_hook(lambda module, args: runs.append(None))
    try:
        yield runs
    finally:
        handle.remove()
        tiny.model.gradient_checkpointing_disable()


def _checkpointing(tiny: Tiny) -> Measured:
    torch.manual_seed(1)
    part = Learned(WIDTH, blocks=[2], keep_ratio=0.25)
    worst, vision = 0.0, selection("tower", 0.5) if "tower" in places(tiny) else {}
    with _training(tiny) as inputs, reduce_tokens(tiny.model, part, **vision):
        wanted = _gradients(tiny.model(**inputs).loss, tiny.model, part)
        assert part.head.weight.grad is not None and bool(part.head.weight.grad.any()), "the selector learns"
        for reentrant in (True, False):
            with _checkpointed(tiny, reentrant) as runs:
                worst = max(worst, _relative(_gradients(tiny.model(**inputs).loss, tiny.model, part), wanted))
                assert len(runs) == 2, "the last layer runs again in the backward pass"
    return Measured(worst, figure(worst))


CHECKS = [
    Check(
        "loss, gradients",
        "training, keeping a quarter: loss and gradients of all weights against sequences shortened by hand, in parts "
        "of the largest",
        _loss,
        ROUNDING,
    ),
    Check(
        "checkpoints",
        "the same with gradient checkpointing, reentrant and not, against none, those of a learned selector included",
        _checkpointing,
        ROUNDING,
    ),
]
