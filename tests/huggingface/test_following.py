"""Selectors made of mappings go where their model goes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.tiny import build, logits

TSPS = {"type": "TSPS", "blocks": [2], "keep_ratio": 0.25}
TEXT_FREE = {"type": "Objectness", "blocks": [2], "keep_ratio": 0.25}


@pytest.mark.parametrize("where", [{"selectors": TSPS}, {"projected": {**TSPS, "blocks": [1]}}, {"vision": TEXT_FREE}])
def test_a_model_may_change_its_type_and_mode_while_it_is_reduced(where: dict[str, Any]) -> None:
    tiny = build("llava")
    inputs = tiny.batch()
    with reduce_tokens(tiny.model, **where) as reduction:
        logits(tiny.model, inputs)
        tiny.model.to(torch.bfloat16).train()
        logits(tiny.model, {**inputs, "pixel_values": inputs["pixel_values"].bfloat16()})
        (selector,) = reduction.selectors
        assert {one.dtype for one in selector.parameters()} == {torch.bfloat16} and selector.training
        tiny.model.to(torch.float32).eval()
        logits(tiny.model, inputs)
        assert {one.dtype for one in selector.parameters()} == {torch.float32} and not selector.training


def test_a_selector_of_somebody_stays_as_it_is() -> None:
    tiny = build("llava")
    with reduce_tokens(tiny.model, TSPS) as reduction:
        own = copy.deepcopy(reduction.selectors[0])
    with reduce_tokens(tiny.model, own):
        tiny.model.train()
        tiny.model(**tiny.with_labels([tiny.row()]))
        assert not own.training


def test_weights_that_are_nowhere_until_their_layer_runs_take_no_selector_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A model that accelerate offloads says that it is on the device ``meta``.
    tiny = build("llava")
    monkeypatch.setattr(type(tiny.model), "device", property(lambda self: torch.device("meta")))
    with reduce_tokens(tiny.model, TSPS) as reduction:
        logits(tiny.model, tiny.batch())
    assert reduction.counts == (5, 5)
    assert {one.device.type for one in reduction.selectors[0].parameters()} == {"cpu"}
