"""What a training step leaves out changes no loss and no gradient: against a step that computes all of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.heads.prefix_lm import PrefixLMHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step import parts
from bus_toolkit.structures import Beginnings, TokenBatch, VisualTokens
from tests.tiny import images
from tests.tiny_model import samples, tiny_model


def step(model: VLPModel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the losses and the gradients of a training step."""
    model.zero_grad(set_to_none=True)
    losses = {name: value for name, value in model.loss(images(4).double(), samples()).items() if "loss" in name}
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return {name: value.detach() for name, value in losses.items()}, gradients


def whole_beginnings(head: PrefixLMHead, batch: Any) -> Beginnings:
    """Return the beginnings in as many places as the whole captions have."""
    lengths = head.prefix_lengths(batch.tokens, batch.noise("prefix_lm", batch.num_captions))
    return Beginnings.of(batch.tokens, lengths)


@pytest.mark.parametrize("mode", ["shared", "strict"])
def test_the_losses_are_those_of_a_step_that_computes_all(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    model = tiny_model(mode).double()
    lengths: list[int] = []
    model.text_decoder.register_forward_hook(lambda _, args, out: lengths.append(out.shape[1]))
    losses, gradients = step(model)
    monkeypatch.setattr(PrefixLMHead, "hide", whole_beginnings)
    monkeypatch.setattr(TokenBatch, "before_last", lambda tokens: tokens)
    monkeypatch.setattr(parts, "_takes_first_only", lambda kind: False)
    monkeypatch.setattr(VisualTokens, "paired", VisualTokens.index)
    slow_losses, slow_gradients = step(model)
    assert lengths[0] == lengths[1] - 1
    assert losses.keys() == slow_losses.keys() and gradients.keys() == slow_gradients.keys()
    for fast, slow in ((losses, slow_losses), (gradients, slow_gradients)):
        for name, value in fast.items():
            torch.testing.assert_close(value, slow[name], rtol=1e-9, atol=1e-10, msg=name)


def test_a_prefix_is_encoded_in_as_many_places_as_it_can_have() -> None:
    model = tiny_model().eval()
    read: list[int] = []
    model.text_encoder.register_forward_hook(lambda _, args, out: read.append(args[0].input_ids.shape[1]))
    model.loss(images(4), samples())
    whole = max(read)
    assert (whole + 1) // 2 in read  # at most half of a caption is given
