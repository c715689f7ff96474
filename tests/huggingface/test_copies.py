"""Copies of reduced models: as for moving averages of weights and reference models, and through a file."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.parts import ByText
from tests.huggingface.tiny import IS_OLD, Tiny, build, logits


@pytest.fixture(params=["llava", "qwen2_5_vl", "qwen3_vl", "idefics3"])
def own(request: pytest.FixtureRequest) -> Tiny:
    return build(request.param)


def test_a_copy_selects_by_itself_when_the_model_does_not_any_more(own: Tiny) -> None:
    inputs = own.batch()
    plain = logits(own.model, inputs)
    with reduce_tokens(own.model, ByText(blocks=[2], keep_ratio=0.25)):
        wanted = logits(own.model, inputs)
        copied = copy.deepcopy(own.model)
    assert torch.equal(logits(copied, inputs), wanted) and not torch.equal(wanted, plain)
    assert torch.equal(logits(own.model, inputs), plain)


def test_a_copy_of_a_reduction_has_a_model_that_it_leaves(own: Tiny) -> None:
    inputs = own.batch()
    plain = logits(own.model, inputs)
    with reduce_tokens(own.model, ByText(blocks=[2], keep_ratio=0.25)) as reduction:
        copied = copy.deepcopy(reduction)
        with pytest.raises(ComponentError, match=r"A copy of a reduced model is reduced, too; copy.deepcopy\(reduct"):
            reduce_tokens(copied.model, ByText(blocks=[1]))
        copied.remove()
        assert torch.equal(logits(copied.model, inputs), plain)
        assert not torch.equal(logits(own.model, inputs), plain)
        reduce_tokens(copied.model, ByText(blocks=[1])).remove()


@pytest.mark.skipif(not IS_OLD, reason="transformers 5 leaves a hook of its own in a model, which cannot be saved")
def test_a_model_can_be_saved_as_a_whole(own: Tiny) -> None:
    inputs, file = own.batch(), io.BytesIO()
    with reduce_tokens(own.model, ByText(blocks=[2], keep_ratio=0.25)):
        wanted = logits(own.model, inputs)
        torch.save(own.model, file)
    file.seek(0)
    assert torch.equal(logits(torch.load(file, weights_only=False), inputs), wanted)
