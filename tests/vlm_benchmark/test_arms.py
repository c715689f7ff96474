"""Each reduction gets baselines that keep as many tokens at the same places."""

from __future__ import annotations

from typing import Any

import torch

from bus_toolkit.vlm_benchmark.arms import Arm, baselines, num_kept, unreduced
from bus_toolkit.vlm_benchmark.made_up_inputs import made_up_inputs
from tests.huggingface.tiny import build
from tests.vlm_benchmark.by_size import registered

QWEN_SIZE = (8 * 28, 8 * 28)


def _alike(family: str, size: tuple[int, int], reduction: dict[str, Any]) -> tuple[list[Arm], list[float]]:
    """Return the baselines of a reduction, and how many tokens it and each of them that reduces leave."""
    model = build(family).model
    inputs = made_up_inputs(model, size, 8, 2)
    with torch.no_grad():
        with (arm := Arm("mine", size, reduction)).in_place(model) as placed:
            model(**inputs)
            assert placed is not None
            made, kept = baselines(arm, placed, model), [num_kept(placed)[0]]
        for other in made:
            with other.in_place(model) as placed:
                if placed is not None:
                    model(**inputs)
                    kept.append(num_kept(placed)[0])
    return made, kept


def test_before_the_language_model() -> None:
    made, kept = _alike("qwen2_5_vl", QWEN_SIZE, {"projected": {"type": "Random", "blocks": [1], "keep_ratio": 0.25}})
    assert [arm.name for arm in made] == [
        "Random 0.25 before layer 1",
        "UniformGrid 0.25 before layer 1",
        "image 112 x 112",
    ]
    assert kept == [16, 16, 16]


def test_in_two_places_the_pattern_is_taken_at_the_first() -> None:
    stages = {"type": "Random", "blocks": [1, 2], "keep_ratio": 0.5}
    made, kept = _alike("qwen2_5_vl", QWEN_SIZE, {"selectors": [stages]})
    assert [arm.name for arm in made[:2]] == [
        "Random 0.5 after layer 1, 0.5 after layer 2",
        "UniformGrid 0.25 after layer 1",
    ]
    assert kept == [16, 16, 16]


def test_in_the_tower_and_without_another_size() -> None:
    made, kept = _alike("llava", (32, 32), {"vision": {"type": "Random", "blocks": [1], "keep_ratio": 0.25}})
    assert [arm.name for arm in made] == [
        "Random 0.25 in the tower, block 1",
        "UniformGrid 0.25 in the tower, block 1",
    ]
    assert kept == [4, 4, 4]


def test_of_a_selector_that_keeps_what_an_image_needs_the_mean_counts() -> None:
    with registered() as name:
        made, kept = _alike("qwen2_5_vl", QWEN_SIZE, {"projected": {"type": name, "blocks": [1], "keep_ratio": 1.0}})
    # 32 and 16 of 64 tokens
    assert [arm.name for arm in made[:2]] == ["Random 0.375 before layer 1", "UniformGrid 0.375 before layer 1"]
    assert kept == [24, 24, 24]


def test_nothing_is_dropped_where_all_is_kept() -> None:
    model = build("qwen2_5_vl").model
    inputs = made_up_inputs(model, QWEN_SIZE, 8, 1)
    plain, keeps_all = unreduced(QWEN_SIZE)
    with torch.no_grad(), plain.in_place(model) as nothing:
        expected = model(**inputs).logits
    with torch.no_grad(), keeps_all.in_place(model) as placed:
        assert torch.equal(model(**inputs).logits, expected)
        assert nothing is None and placed is not None and placed.counts == (64,)
