"""Stages are in the order of the model, whatever the order of the keys in a file."""

from __future__ import annotations

from bus_toolkit.study.stages import in_order


def test_stages_are_in_the_order_of_the_model() -> None:
    right = [*(f"block {i}" for i in range(1, 13)), "decoder", *(f"layer {i}" for i in range(1, 11))]
    assert list(in_order({stage: 0 for stage in sorted(right)})) == right
