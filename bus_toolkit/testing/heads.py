"""The conformance kit for heads."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import PartFactory, run_checks
from bus_toolkit.testing.model import tiny_batch, tiny_model


class HeadCase:
    """A head on a whole model at width 32, with TSPS, PAD, a fusion and a text decoder.

    One that says ``needs_momentum`` gets a momentum branch and the contrast beside it, and no PAD.
    """

    def __init__(self, part: str | Callable[..., nn.Module], settings: dict[str, Any]) -> None:
        self.factory = PartFactory(REGISTRIES.heads, part, settings, {"num_classes": 2}, {})
        self.name, self.seed = self.factory.name, 0
        self.slot = "checked"

    def build(self, **settings: Any) -> VLPModel:
        """Return a model with the head to check."""
        heads = {self.slot: {"type": self.name, **self.factory.settings, **settings}}
        parts: dict[str, Any] = {}
        if getattr(self.factory.registry.get(self.name).cls, "needs_momentum", False):
            # The branch follows the contrast's projections; as it sees every patch, its PAD would have other queries.
            heads, parts = {"itc": {"type": "ITCHead"}, **heads}, {"momentum": {}, "decoder": {"type": "Identity"}}
        with _registered(self.name, self.factory):
            return tiny_model(heads, seed=self.seed, **parts)

    def head(self, model: VLPModel) -> nn.Module:
        """Return the head of ``model``."""
        return model.heads[self.slot]


@contextmanager
def _registered(name: str, factory: PartFactory) -> Iterator[None]:
    """Let the model builder find a class that is not registered, for as long as it builds."""
    entries = REGISTRIES.heads.entries
    names = REGISTRIES.heads.names()
    before = {key: entries[key] for key in names}
    entries[name] = factory.registry.get(name)
    try:
        yield
    finally:
        entries.clear()
        entries.update(before)


def check_head(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that a head keeps its contract (``bus_toolkit.heads.base``).

    Args:
        part: Its registered name, or its class.
        **settings: Its arguments.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(HeadCase(part, settings), _CHECKS)


def check_losses(case: HeadCase) -> None:
    """``loss`` returns at least one loss; losses and figures are finite scalars."""
    losses = case.build().train().loss(*tiny_batch())
    assert losses, "loss() returns nothing"
    named = [name for name in losses if name.startswith("loss_")]
    assert named, f"no key starts with loss_, got {', '.join(losses)}"
    for name, value in losses.items():
        assert name in named or "loss" not in name, f"{name} would be trained on, since its name contains 'loss'"
        assert value.dim() == 0, f"{name} has shape {tuple(value.shape)} and is no scalar"
        assert torch.isfinite(value), f"{name} is not finite"


def check_gradient(case: HeadCase) -> None:
    """Every trainable parameter of the head gets a finite gradient, and so does the model below."""
    model = case.build().train()
    losses = model.loss(*tiny_batch())
    sum(value for name, value in losses.items() if "loss" in name).backward()
    for name, parameter in case.head(model).named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"parameter {name} gets no gradient"
            assert torch.isfinite(parameter.grad).all(), f"the gradient of parameter {name} is not finite"


def check_autocast(case: HeadCase) -> None:
    """Under bfloat16 autocast the losses are finite."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = case.build().train().loss(*tiny_batch())
    for name, value in losses.items():
        assert torch.isfinite(value), f"{name} is not finite in bfloat16"


def check_predictions(case: HeadCase) -> None:
    """Each prediction has one entry a sample; the batch stays as it was, and repeats give the same."""
    model, (images, samples) = case.build().eval(), tiny_batch()
    before = images.clone()
    model.set_progress(0.0, 0)
    with torch.no_grad():
        first = model.predict(images, copy.deepcopy(samples))
        second = model.predict(images, copy.deepcopy(samples))
    assert torch.equal(images, before), "the images were edited in place"
    assert len(first) == tiny.BATCH, f"{tiny.BATCH} samples went in, {len(first)} came out"
    for one, two in zip(first, second, strict=True):
        assert set(one.keys()) == set(two.keys()), "two runs predict different fields"
        for name in one.keys():
            same = _same(one.get(name), two.get(name))
            assert same, f"two runs predict different {name}"


def check_state_dict_and_pickle(case: HeadCase) -> None:
    """A head survives pickling, and a state dict holds all of its weights."""
    head = case.head(case.build())
    copied = pickle.loads(pickle.dumps(head))
    for name, tensor in head.state_dict().items():
        assert torch.equal(copied.state_dict()[name], tensor), f"{name} changed in pickling"


def check_bad_arguments(case: HeadCase) -> None:
    """A negative weight or start is refused."""
    for bad in ({"weight": -1.0}, {"start_epoch": -1.0}):
        if not set(bad) <= set(case.factory.takes):
            continue
        try:
            case.build(**bad)
        except (ComponentError, ValueError):
            continue
        raise AssertionError(f"{bad} is accepted")


_CHECKS = (
    check_losses,
    check_gradient,
    check_autocast,
    check_predictions,
    check_state_dict_and_pickle,
    check_bad_arguments,
)


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(two))
    return one == two or (one != one and two != two)
