"""NaN scores and selectors without a gradient are one warning each."""

import logging

import pytest
import torch

from bus_toolkit.engine.hooks.selector_faults import SelectorFaults
from bus_toolkit.heads import ITMHead
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import PatchSelector
from bus_toolkit.testing import tiny_batch, tiny_model


class Broken(PatchSelector):
    def score(self, view):
        return view.patches.norm(dim=-1) * float("nan")


class Unlearning(PatchSelector):
    def __init__(self, *, embed_dim, **settings):
        super().__init__(**settings)
        self.direction = torch.nn.Parameter(torch.ones(embed_dim))

    def score(self, view):
        return view.patches @ self.direction


@pytest.fixture
def model_with(request):
    """Return a function that builds a tiny model with a selector that is registered meanwhile."""

    def build(selector, **settings):
        REGISTRIES.selectors.names()
        REGISTRIES.selectors.register(selector)
        request.addfinalizer(lambda: REGISTRIES.selectors.entries.pop(selector.__name__, None))
        node = {"type": selector.__name__, "blocks": [2], **settings}
        return tiny_model({"itc": {"type": "ITCHead", "feature_dim": 16}}, selectors=[node]).train()

    return build


def trained(model, steps=3, optimizer=torch.optim.AdamW):
    optimizer = optimizer([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    faults = SelectorFaults(model)
    for step in range(1, steps + 1):
        faults.watch()
        losses = model.loss(*tiny_batch())
        sum(value for name, value in losses.items() if "loss" in name).backward()
        optimizer.step()
        optimizer.zero_grad()
        faults.report(step)


def test_scores_that_are_nan_are_warned_of_once(model_with, caplog):
    model = model_with(Broken)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        trained(model)
    (record,) = [r for r in caplog.records if "NaN" in r.getMessage()]
    assert record.getMessage().startswith("backbone.selectors.0 (Broken): scores are NaN at step 1, ")
    assert "Look for a division by zero" in record.getMessage()
    assert not model.backbone.selectors[0]._forward_hooks


def test_patches_that_come_nan_are_not_blamed_on_the_selector(model_with, caplog):
    class Sound(PatchSelector):
        def score(self, view):
            return view.patches.norm(dim=-1)

    model = model_with(Sound)
    torch.nn.init.constant_(model.backbone.vit.layers[0].ln1.weight, float("nan"))
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        trained(model, steps=1)
    (record,) = [r for r in caplog.records if "NaN" in r.getMessage()]
    assert record.getMessage().endswith("given are NaN already: look at the images, and at the backbone before it.")


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_a_selector_that_no_loss_reaches_is_named_once(model_with, caplog, optimizer):
    model = model_with(Unlearning)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        trained(model, optimizer=optimizer)
    (record,) = [r for r in caplog.records if "no gradient" in r.getMessage()]
    assert record.getMessage().startswith(
        "backbone.selectors.0.direction: no gradient in 2 steps, so it does not learn."
    )


def test_a_selector_that_a_loss_reaches_is_not_named(model_with, caplog):
    model = model_with(Unlearning, fuse="normalized")
    model.backbone.selectors[0].fuse_weights = lambda scores: scores.sigmoid()
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        trained(model)
    assert "no gradient" not in caplog.text
    assert not model.backbone.selectors[0].direction._post_accumulate_grad_hooks


def test_heads_that_have_not_joined_in_are_waited_for(model_with, caplog):
    model = model_with(Unlearning)
    model.heads["itc"].start_epoch = 0.5
    model.set_progress(0.5, 0)
    model.heads["late"] = ITMHead(text_dim=32, start_epoch=5.0)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        trained(model)
    assert "no gradient" not in caplog.text
