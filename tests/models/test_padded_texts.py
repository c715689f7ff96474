"""Texts that are padded to a fixed length give the losses and gradients of texts padded to the longest."""

import pytest
import torch

from bus_toolkit.structures import TokenBatch
from tests.tiny_model import LetterTokenizer, samples, tiny_model


def padded(self, texts, call=LetterTokenizer.__call__):
    ids, mask = call(self, texts)
    missing = self.max_length - ids.shape[1]
    return TokenBatch(*(torch.nn.functional.pad(part, (0, missing)) for part in (ids, mask)))


def losses_of(mode, momentum):
    model = tiny_model(mode, momentum=momentum).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.set_progress(epoch=0.0, iteration=3)
    model.noise_seed = 5
    values = model.loss(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double(), samples())
    total, _ = model.parse_losses(values)
    total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in values.items() if "loss" in name}, gradients


@pytest.mark.parametrize(("mode", "momentum"), [("shared", None), ("strict", {"decay": 0.9})])
def test_padding_changes_no_loss_and_no_gradient(mode, momentum, monkeypatch):
    plain = losses_of(mode, momentum)
    monkeypatch.setattr(LetterTokenizer, "__call__", padded)
    assert len(plain[0]) >= 5
    for one, other in zip(plain, losses_of(mode, momentum), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
