"""Counters see the reduced cost of our backbone: MMEngine's, which mmpretrain's tool calls, and ours."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.analysis import FlopAnalyzer

from bus_toolkit.analysis.macs import count_macs
from tests.models.openmmlab_tiny import ARCH, PATCHES, built, images, reduced, vit

D, HIDDEN, BLOCKS = ARCH["embed_dims"], ARCH["feedforward_channels"], ARCH["num_layers"]
EMBEDDING = PATCHES * 3 * 8 * 8 * D  # a convolution: each patch of 8 x 8 pixels becomes D numbers
EVIT = {"type": "EViT", "blocks": [2, 3], "keep_ratio": 0.5}  # 16 -> 8 + 1 fused -> 5 + 1 fused
TOME = {"type": "ToMe", "blocks": [1, 2, 3], "num_merged": 3}  # 16 -> 13 -> 10 -> 7
# Tokens, the class token included, in the attention and in the feed-forward part of each block: both selectors sit
# between the two.
COUNTS = {
    "plain": (vit(), [17, 17, 17, 17], [17, 17, 17, 17]),
    "nothing reduced": (reduced({**EVIT, "keep_ratio": 1.0}), [17, 17, 17, 17], [17, 17, 17, 17]),
    "EViT": (reduced(EVIT), [17, 17, 10, 7], [17, 10, 7, 7]),
    "ToMe": (reduced(TOME), [17, 14, 11, 8], [14, 11, 8, 8]),
}


def linear_macs(attention: list[int], feed_forward: list[int]) -> int:
    """Count the layers by hand: query, key, value, output projection; two layers of the feed-forward part."""
    return 4 * D * D * sum(attention) + 2 * D * HIDDEN * sum(feed_forward)


@pytest.mark.parametrize("name", COUNTS)
def test_mmengines_counter_sees_the_tokens_that_are_left_in_linear_layers(name: str) -> None:
    cfg, attention, feed_forward = COUNTS[name]
    counted = FlopAnalyzer(built(cfg), (images(1),)).by_operator()
    assert counted["linear"] == linear_macs(attention, feed_forward)
    assert counted["conv"] == EMBEDDING


@pytest.mark.parametrize("name", ["plain", "nothing reduced", "EViT"])
def test_our_counter_adds_the_attention_that_mmengine_misses(name: str) -> None:
    cfg, attention, feed_forward = COUNTS[name]
    model = built(cfg)
    products = sum(2 * n * n * D for n in attention)
    # EViT looks at the attention of the class token once more, and sums up what it fuses.
    selection = 0 if name == "plain" else extra(attention, [2, 3], fused=name == "EViT")
    counted = count_macs(lambda: model(images(1)))
    assert counted == EMBEDDING + linear_macs(attention, feed_forward) + products + selection


def extra(attention: list[int], blocks: list[int], *, fused: bool) -> int:
    """Count EViT's own products at its blocks: one row of the attention map, one sum of patch tokens."""
    return sum(attention[b - 1] * D + (attention[b - 1] - 1) * D * fused for b in blocks)


def test_both_counters_agree_on_the_order_of_costs() -> None:
    def costs(count: Any) -> list[str]:
        return sorted(("plain", "EViT", "ToMe"), key=lambda name: count(built(COUNTS[name][0])))

    theirs = costs(lambda model: FlopAnalyzer(model, (images(1),)).total())
    assert theirs == costs(lambda model: count_macs(lambda: model(images(1)))) == ["ToMe", "EViT", "plain"]
