"""Whole models in float64: nothing is rounded on the way, and the gradients are those of finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.plugin.manager import list_plugins
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.heads import HeadCase
from bus_toolkit.testing.model import TINY_HEADS, tiny_batch, tiny_model
from bus_toolkit.testing.rounding import assert_float64, refuse_rounding

list_plugins()  # loads them, so that their heads are here too
DISTILL = {"distill": {"type": "TeacherDistillHead"}} if "TeacherDistillHead" in REGISTRIES.heads.names() else {}
HEADS = {**TINY_HEADS, "itc": {"type": "ITCHead", "feature_dim": 16, "queue_size": 8}, **DISTILL}


def whole(dtype: torch.dtype) -> VLPModel:
    """Return all objectives with a momentum branch, a queue and distillation."""
    return tiny_model(HEADS, momentum={"decay": 0.9}, decoder={"type": "Identity"}).to(dtype).train()


def steps(model: VLPModel, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the losses of the third step, when the queue is full."""
    images, samples = tiny_batch()
    losses: dict[str, Tensor] = {}
    for step in range(3):
        model.set_progress(0.0, step)
        losses = {k: v for k, v in model.loss(images.to(dtype), samples).items() if k.startswith("loss_")}
        torch.stack(list(losses.values())).sum().backward()
        model.after_step()
    return losses


def test_losses_with_momentum_queue_and_distillation_are_float64_and_near_those_in_float32() -> None:
    model = whole(torch.float64)
    losses, coarse = steps(model, torch.float64), steps(whole(torch.float32), torch.float32)
    assert_float64(list(losses.values()), list(losses))
    for name, value in losses.items():
        assert value.item() == pytest.approx(coarse[name].item(), abs=1e-5)
    assert {b.dtype for b in model.buffers() if b.is_floating_point()} == {torch.float64}
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_nothing_is_rounded_in_a_step_and_in_predictions() -> None:
    model, (images, samples) = whole(torch.float64), tiny_batch()
    with refuse_rounding(model):
        model.loss(images.double(), samples)
        model.after_step()
        with torch.no_grad():
            predicted = model.eval().predict(images.double(), samples)
    made = [(k, v) for k, v in predicted[0].to_dict().items() if isinstance(v, Tensor) and k != "gt_boxes"]
    assert_float64([value for _, value in made], [name for name, _ in made])


def test_weights_in_bfloat16_give_losses_in_float32_and_fill_the_queue() -> None:
    model = whole(torch.bfloat16)
    losses = steps(model, torch.bfloat16)
    assert {name: value.dtype for name, value in losses.items()} == dict.fromkeys(losses, torch.float32)
    assert all(torch.isfinite(value) for value in losses.values())
    assert (model.heads["itc"].queue_ids >= 0).all()


@pytest.mark.parametrize("name", REGISTRIES.heads.names())
def test_the_gradient_of_a_head_is_that_of_finite_differences(name: str) -> None:
    model, (images, samples) = HeadCase(name, {}).build().double().train(), tiny_batch()
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    sizes, start = [p.numel() for p in trained.values()], torch.cat([p.detach().flatten() for p in trained.values()])

    def loss(weights: Tensor) -> Tensor:
        parts = zip(trained.items(), weights.split(sizes), strict=True)
        own = {key: part.view_as(parameter) for (key, parameter), part in parts}
        values = functional_call(model, own, (images.double(), samples, "loss"))
        return torch.stack([value for key, value in values.items() if key.startswith("loss_")]).sum()

    # One random direction through all weights at once: the Jacobian has a hundred thousand columns.
    assert torch.autograd.gradcheck(loss, (start.requires_grad_(),), fast_mode=True)
