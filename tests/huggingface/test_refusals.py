"""What is refused with a reason, and that a model is as it was once a reduction has gone."""

from __future__ import annotations

import gc
from typing import Any
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


HALF = {"type": "UniformGrid", "blocks": [1], "keep_ratio": 0.5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selectors": ByPlace}, "selectors= takes selectors, got the class ByPlace. Give an instance"),
        ({"selectors": "FastV"}, 'selectors= takes selectors, got str. .* such as {"type": "FastV", "blocks"'),
        ({"selectors": 2}, "selectors= takes selectors, got int"),
        ({"vision": [ByPlace]}, "vision= takes selectors, got the class ByPlace"),
        ({"projected": [HALF, HALF]}, "projected= takes one selector, got list"),
        ({"projected": {**HALF, "blocks": [2]}}, r"blocks of projected= must be \[1\], .* got \[2\]. Leave blocks out"),
        (
            {"selectors": {**HALF, "blocks": 2}},
            r"selectors=.blocks: must be a list .* got 2. Put it into a list: \[2\]",
        ),
    ],
)
def test_what_is_no_selector_is_named(llava: Tiny, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        reduce_tokens(llava.model, **arguments)
    assert not llava.model.get_decoder()._forward_pre_hooks, "nothing was put in"


def test_before_the_language_model_there_is_one_place(llava: Tiny) -> None:
    with reduce_tokens(llava.model, projected={"type": "UniformGrid", "keep_ratio": 0.5}) as reduction:
        logits(llava.model, llava.batch())
        assert reduction.counts == (8, 8)


@pytest.mark.parametrize("model", ["weights/llava", {"type": "FastV"}, torch.nn.Linear(1, 1)])
def test_what_is_no_model_is_named(llava: Tiny, model: Any) -> None:
    with pytest.raises(ComponentError, match=f"got {type(model).__name__}. Give the whole model, as AutoModel"):
        reduce_tokens(model, llava.model)  # type: ignore[arg-type]


@pytest.mark.slow
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
