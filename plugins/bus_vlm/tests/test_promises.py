"""What all selectors promise: the kit's checks, several stages, refusals, names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bus_vlm import register_components
from bus_vlm.cdpruner import CDPrunerSelector
from bus_vlm.dart import DARTSelector
from bus_vlm.fastv import FastVSelector
from bus_vlm.prumerge import PruMergeSelector
from bus_vlm.sparsevlm import SparseVLMSelector
from bus_vlm.visionzip import VisionZipSelector

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.registry import new_registries
from bus_toolkit.selectors import PatchSelector
from bus_toolkit.structures import TextTokens, VisualTokens
from bus_toolkit.testing import check_selector, tiny

PARTS = {
    "VisionZip": {},
    "PruMerge": {},
    "PruMerge plus": {"plus": True},
    "VisPruner": {},
    "DivPrune": {},
    "CDPruner": {},
    "FastV": {},
    "DART": {},
    "PyramidDrop": {},
    "SparseVLM": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_keeps_the_promises_of_its_kind(name: str) -> None:
    check_selector(name.split()[0], **PARTS[name])
    for ratio in (1 / 16, 0.2, 15 / 16):
        check_selector(name.split()[0], keep_ratio=ratio, **PARTS[name])


def test_several_stages_lose_only_what_sparsevlm_drops() -> None:
    inputs = {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs()}
    stages: list[PatchSelector] = [
        SparseVLMSelector(blocks=[1], keep_ratio=0.75, embed_dim=32, text_dim=32),
        VisionZipSelector(blocks=[3], keep_ratio=0.75),
        PruMergeSelector(blocks=[4], keep_ratio=0.5),
    ]
    visual: VisualTokens = TokenReducingBackbone(tiny.vision_transformer(), stages)(
        inputs["images"], tiny.text_tokens(inputs)
    )
    assert visual.embeds.shape[1] == 1 + 4 + 1, "16, 12, 9, 4 and the extra one"
    assert visual.origin is not None
    dropped = visual.selections[0].decision.plan.slots < 0
    assert torch.equal(visual.origin < 0, dropped) and dropped.sum(dim=1).tolist() == [3] * tiny.BATCH
    sizes = torch.zeros(tiny.BATCH, 5).scatter_add(1, visual.origin.clamp(min=0), (~dropped).float())
    assert sizes[:, :4].min() >= 1 and sizes.sum(dim=1).tolist() == [13.0] * tiny.BATCH


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"contextual_share: must be in \[0, 1\), got 1.0"):
        VisionZipSelector(blocks=[1], contextual_share=1.0)
    with pytest.raises(ValueError, match="num_neighbors: must be 1 or more keys, got 0"):
        PruMergeSelector(blocks=[1], num_neighbors=0)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 1.5 and 0.1"):
        SparseVLMSelector(blocks=[1], recycle_share=1.5, embed_dim=8, text_dim=8)
    for selector in (FastVSelector, SparseVLMSelector):
        with pytest.raises(
            ValueError, match="both must be equally wide, got 16 and 8. Give the backbone's width to text_enc"
        ):
            selector(blocks=[1], embed_dim=8, text_dim=16)  # type: ignore[call-arg]


@pytest.mark.parametrize("selector", [CDPrunerSelector, DARTSelector])
def test_a_text_of_another_width_is_refused(selector: type[PatchSelector], view_of: Any) -> None:
    words = torch.zeros(1, 2, 16)
    text = TextTokens(words, words[:, 0], torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(
        ValueError, match="both must be equally wide, got 16 and 8. Give the backbone's width to text_enc"
    ):
        selector(blocks=[1])(view_of(torch.zeros(1, 6, 8), text, keys=torch.zeros(1, 6, 2, 4)))


def test_registers_all() -> None:
    registries = new_registries()
    register_components(registries)
    assert registries.selectors.names() == sorted({name.split()[0] for name in PARTS})
