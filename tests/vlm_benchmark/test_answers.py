"""What an answer costs: cache bytes and MACs against figures by hand."""

from __future__ import annotations

import torch

from bus_toolkit.huggingface.reduction import reduce_tokens
from bus_toolkit.vlm_benchmark.counting import count_answer
from bus_toolkit.vlm_benchmark.generation import SelectionClock, answer
from bus_toolkit.vlm_benchmark.made_up_inputs import made_up_inputs
from tests.huggingface.tiny import IS_OLD, build

WORDS, VISUAL = 8, 16
AFTER_TWO = {"type": "UniformGrid", "blocks": [2], "keep_ratio": 0.25}


def _layer(queries: int, keys: int) -> int:
    """Return the MACs of a layer of the tiny models: width 32, 4 heads of 8, 2 heads of keys, 64 inside the MLP."""
    return queries * (32 * 32 + 2 * 32 * 16 + 32 * 32) + 2 * queries * keys * 32 + 3 * queries * 32 * 64


def test_the_cache_holds_what_each_layer_has_left() -> None:
    model = build("llava").model
    inputs = made_up_inputs(model, (32, 32), WORDS, 2)
    with torch.no_grad(), reduce_tokens(model, AFTER_TWO):
        given = answer(model, inputs, 3)
    # Two of the three new tokens are read: the last is given out only. Keys and values, 2 heads of 8, 4 bytes.
    lengths = [WORDS + VISUAL + 2] * 2 + [WORDS + 4 + 2] * 2
    assert given.cache_bytes == sum(lengths) * 2 * 2 * 2 * 8 * 4
    assert given.first_seconds > 0 and given.seconds > given.first_seconds


def test_the_macs_are_those_by_hand() -> None:
    model = build("llava").model
    inputs = made_up_inputs(model, (32, 32), WORDS, 1)
    with torch.no_grad(), reduce_tokens(model, AFTER_TWO) as reduction:
        macs = count_answer(model, inputs, 3, reduction)
    whole, left = WORDS + VISUAL, WORDS + 4
    assert macs.layers == (_layer(whole, whole),) * 2 + (_layer(left, left),) * 2
    assert macs.projector == VISUAL * 2 * 32 * 32
    # Rotary angles are a product of places and 4 frequencies, in transformers 4 of matrices; the head reads the last.
    head, angles = 32 * model.config.text_config.vocab_size, 4 if IS_OLD else 0
    assert macs.rest == head + whole * angles
    later = [2 * _layer(1, whole + new) + 2 * _layer(1, left + new) + head + angles for new in (1, 2)]
    assert macs.later_token == sum(later) / 2
    assert macs.prefill == macs.tower + macs.projector + sum(macs.layers) + macs.rest
    assert macs.of_answer(3) == macs.prefill + sum(later)


def test_what_a_selector_computes_is_counted_apart() -> None:
    model = build("llava").model
    inputs = made_up_inputs(model, (32, 32), WORDS, 1)
    learned = {"type": "TSPS", "blocks": [2], "keep_ratio": 0.25}
    with torch.no_grad(), reduce_tokens(model, learned) as reduction:
        macs = count_answer(model, inputs, 2, reduction)
    assert macs.selection > VISUAL * 32 * 32
    assert macs.layers[:2] == (_layer(24, 24),) * 2


def test_the_clock_of_selections_starts_again_when_it_is_read() -> None:
    clock = SelectionClock(torch.device("cpu"))
    with clock.running():
        pass
    with clock.running():
        pass
    assert clock.take() > 0
    assert clock.take() == 0
