"""Every part that ``compile`` compiles is one graph, in training, and texts of one length compile once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from bus_toolkit.engine.compile_parts import compile_parts
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.testing import tiny_batch, tiny_model

HEADS = {
    "itc": {"type": "ITCHead", "feature_dim": 8},
    "itm": {"type": "ITMHead"},
    "mlm": {"type": "MLMHead"},
    "prefix_lm": {"type": "PrefixLMHead"},
}
PARTS: dict[str, dict[str, Any]] = {
    "BUS": {
        "fusion": {"type": "SkipConnectedFusion", "num_layers": 3, "num_heads": 4, "stride": 1},
        "prior": {"type": "SelectorScorePrior"},
    },
    "METER's fusion": {"fusion": {"type": "CoAttentionFusion", "num_layers": 1, "num_heads": 4}},
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def step(model: VLPModel) -> dict[str, torch.Tensor]:
    images, samples = tiny_batch()
    losses = {name: value for name, value in model.loss(images, samples).items() if "loss" in name}
    torch.stack(list(losses.values())).sum().backward()
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_no_graph_breaks_and_the_losses_are_the_same(parts: dict[str, Any]) -> None:
    model = tiny_model(HEADS, **parts)
    plain = step(model)
    assert compile_parts(model, {"backend": "eager", "fullgraph": True})
    compiled = step(model)
    for name, loss in plain.items():
        torch.testing.assert_close(compiled[name], loss, rtol=1e-5, atol=1e-5)
