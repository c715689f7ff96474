"""The conformance kit for heads."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.declarations import declared
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import PartFactory, run_checks
from bus_toolkit.testing.model import tiny_batch, tiny_model
from bus_toolkit.testing.on_gpu import check_model_on_gpu
from bus_toolkit.testing.rounding import assert_float64, refuse_rounding

# Which of our heads hides words, for one that reads what is left.
_PROVIDERS = {Condition.MASKED: "MLMHead", Condition.PREFIX: "PrefixLMHead"}


class HeadCase:
    """A head on a whole model at width 32, with TSPS, PAD, a fusion and a text decoder.

    One that says ``needs_momentum`` gets a momentum branch and the contrast beside it, and no PAD. One that sees masked
    words or a beginning of the caption gets them from itself or from our head.
    """

    def __init__(self, part: str | Callable[..., nn.Module], settings: dict[str, Any]) -> None:
        self.factory = PartFactory(REGISTRIES.heads, part, settings, {"num_classes": 2}, {})
        self.name, self.seed = self.factory.name, 0
        self.slot = "checked"

    def build(self, *, conditioning: str = "shared", **settings: Any) -> VLPModel:
        """Return a model with the head to check, under a conditioning mode."""
        heads: dict[str, Any] = {self.slot: {"type": self.name, **self.factory.settings, **settings}}
        parts: dict[str, Any] = {}
        mode = {"mode": conditioning}
        cls = self.factory.registry.get(self.name).cls
        seen = getattr(cls, "sees", None)
        if seen in _PROVIDERS and seen not in getattr(cls, "provides", ()):
            heads = {"provider": {"type": _PROVIDERS[seen]}, **heads}
        if getattr(cls, "needs_momentum", False):
            # The branch follows the contrast's projections; as it sees every patch, its PAD would have other queries.
            heads, parts = {"itc": {"type": "ITCHead"}, **heads}, {"momentum": {}, "decoder": {"type": "Identity"}}
        if getattr(cls, "distils", ()) and settings.get("alpha"):
            parts.setdefault("momentum", {})
        with self.factory.registered():
            return tiny_model(heads, seed=self.seed, conditioning=mode, **parts)

    def head(self, model: VLPModel) -> nn.Module:
        """Return the head of ``model``."""
        return model.heads[self.slot]


def check_head(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that a head keeps its contract (``bus_toolkit.heads.VLPHead``).

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
    losses = {name: value for name, value in model.loss(*tiny_batch()).items() if "loss" in name}
    detached = [name for name, value in losses.items() if not value.requires_grad]
    assert not detached, f"{', '.join(detached)} has no gradient: it was detached, or depends on nothing trained"
    sum(losses.values()).backward()
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


def check_float64(case: HeadCase) -> None:
    """In a model in float64 losses are float64, and nothing is rounded on the way."""
    model, (images, samples) = case.build().double().train(), tiny_batch()
    with refuse_rounding(case.head(model)):
        try:
            losses = model.loss(images.double(), samples)
        except ComponentError:
            return  # what is wrong in any precision is in the check of the losses
        model.after_step()
    trained = {name: value for name, value in losses.items() if name.startswith("loss_")}
    assert_float64(list(trained.values()), list(trained))
    sum(trained.values()).backward()


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


def check_declared_predictions(case: HeadCase) -> None:
    """If it declares by ``predicts`` what it predicts, then all of it: an evaluation may ask for no more."""
    model, (images, samples) = case.build().eval(), tiny_batch()
    head: Any = case.head(model)
    declared_fields = declared(head, "predicts", "predict")
    if declared_fields is None:
        return
    model.set_progress(0.0, 0)
    with torch.no_grad():
        predicted = set(head.predict(Step(model.passes(images, samples))))
    assert predicted <= set(declared_fields), (
        f"it predicts {', '.join(sorted(predicted - set(declared_fields)))}, which `predicts` does not name"
    )


def check_strict(case: HeadCase) -> None:
    """It declares by ``sees`` which text its images may be encoded under, and trains under conditioning mode strict."""
    try:
        model = case.build(conditioning="strict").train()
    except ConfigError as error:
        raise AssertionError(str(error)) from error
    for name, value in model.loss(*tiny_batch()).items():
        assert torch.isfinite(value), f"{name} is not finite under conditioning mode strict"


def check_state_dict_and_pickle(case: HeadCase) -> None:
    """A head survives pickling, and a state dict holds all of its weights."""
    head = case.head(case.build())
    copied = pickle.loads(pickle.dumps(head))
    for name, tensor in head.state_dict().items():
        assert torch.equal(copied.state_dict()[name], tensor), f"{name} changed in pickling"


def check_distillation(case: HeadCase) -> None:
    """A head that ``distils`` takes ``alpha``, and trains on soft targets made of what it declares, in bfloat16 too."""
    if not getattr(case.factory.registry.get(case.name).cls, "distils", ()):
        return
    assert "alpha" in case.factory.takes, "it declares `distils` and takes no argument alpha"
    model = case.build(alpha=0.5).train()
    assert case.head(model).alpha == 0.5, "it does not hand its alpha on to VLPHead"
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = model.loss(*tiny_batch())
    except (KeyError, AttributeError) as error:
        raise AssertionError(f"with alpha it reads a momentum copy that it does not declare: {error}") from error
    for name, value in losses.items():
        assert torch.isfinite(value), f"{name} is not finite with alpha"
    sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
    trained = [name for name, parameter in model.momentum.named_parameters() if parameter.grad is not None]
    assert not trained, f"{trained[0]} of the momentum model gets a gradient"


def check_step_on_gpu(case: HeadCase) -> None:
    """On a GPU a whole step with it mixes no devices or types, and never waits unless it says ``waits_for_device``."""
    model = case.build()
    check_model_on_gpu(model, *tiny_batch(), may_wait=getattr(case.head(model), "waits_for_device", False))


def check_bad_arguments(case: HeadCase) -> None:
    """A negative weight or start is refused, and a share above 1."""
    wrong: list[dict[str, Any]] = [{"weight": -1.0}, {"start_epoch": -1.0}, {"alpha": 1.5}]
    for bad in wrong:
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
    check_float64,
    check_predictions,
    check_declared_predictions,
    check_strict,
    check_state_dict_and_pickle,
    check_distillation,
    check_bad_arguments,
    check_step_on_gpu,
)


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(two))
    return one == two or (one != one and two != two)
