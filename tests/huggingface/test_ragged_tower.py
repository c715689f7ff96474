"""Selectors that keep another number of patches in each image, in a vision tower."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.ops import share_of_mass
from tests.huggingface.parts import ByClassToken, ByEveryone
from tests.huggingface.tiny import build, logits


class ByShareOfClassToken(ByClassToken):
    @override
    def marked(self, scores: Tensor) -> Tensor:
        return share_of_mass(scores, 0.7)


class ByShareOfAll(ByEveryone):
    @override
    def marked(self, scores: Tensor) -> Tensor:
        return share_of_mass(scores, 0.7)


@pytest.mark.parametrize("blocks", [[1], [2], [1, 2]])
def test_each_image_keeps_what_it_keeps_alone(blocks: list[int]) -> None:
    tiny = build("llava")
    for parameter in tiny.model.model.vision_tower.parameters():
        parameter.data *= 2  # so that images differ in what their class tokens look at
    row = tiny.row()
    inputs = tiny.of([row, row])
    for selector in (ByShareOfClassToken, ByShareOfAll):
        part = selector(blocks=blocks, keep_ratio=1.0)
        with reduce_tokens(tiny.model, vision=part) as reduction:
            together = logits(tiny.model, inputs)
            counts = reduction.counts
            assert max(counts) < tiny.tokens
            for number in range(2):
                own = {name: value[number : number + 1] for name, value in inputs.items()}
                alone = logits(tiny.model, own)
                assert reduction.counts == counts[number : number + 1]
                torch.testing.assert_close(alone[0, -3:], together[number, -3:], atol=1e-4, rtol=1e-4)
    assert counts[0] != counts[1] or selector is ByShareOfAll
