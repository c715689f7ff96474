"""What is refused with a reason, and that a model is as it was once a reduction has gone."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
import torch

from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.parts import ByPlace
from tests.huggingface.tiny import Tiny, build, logits


def part() -> ByPlace:
    return ByPlace(blocks=[1], keep_ratio=0.5)


def test_a_model_is_reduced_once_at_a_time(llava: Tiny) -> None:
    inputs = llava.batch()
    wanted = logits(llava.model, inputs)
    first = reduce_tokens(llava.model, part())
    for model in (llava.model, llava.model.model):
        with pytest.raises(ComponentError, match="is reduced already. Call remove"):
            reduce_tokens(model, part())
    first.remove()
    with reduce_tokens(llava.model, part()) as second:
        first.remove()  # of one that has gone: nothing
        logits(llava.model, inputs)
        assert second.counts == (8, 8)
    assert torch.equal(logits(llava.model, inputs), wanted)


def test_a_model_that_is_let_go_of_is_gone() -> None:
    tiny = build("llava")
    reduce_tokens(tiny.model, part(), vision=part())
    kept = ref(tiny.model)
    del tiny
    gc.collect()
    assert kept() is None


def test_a_tower_that_selects_needs_the_images(llava: Tiny) -> None:
    inputs = llava.batch()
    del inputs["pixel_values"]
    with reduce_tokens(llava.model, vision=part()):
        with pytest.raises(DataError, match="vision= needs pixel_values in the call, got image tokens alone"):
            logits(llava.model, inputs)
