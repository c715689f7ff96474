"""Counted MACs equal the closed form, at toy size and at ViT-B/16."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.analysis.macs import block_macs, blocks_macs, count_macs, text_semantic_macs
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from tests.tiny import WIDTH, images, text_tokens, tiny_backbone

PATCHES = 3 * 16 * WIDTH * 3 * 8 * 8  # the patch embedding: three images of 16 patches


def test_counted_blocks_equal_the_closed_form() -> None:
    backbone = tiny_backbone()
    assert count_macs(lambda: backbone(images())) == PATCHES + 3 * blocks_macs([17] * 4, WIDTH, mlp_ratio=2.0)


@pytest.mark.parametrize("interaction", ["concat", "product"])
def test_counted_selection_equals_the_closed_form(interaction: str) -> None:
    selector = TextSemanticPatchSelector(blocks=[2], embed_dim=WIDTH, text_dim=WIDTH, interaction=interaction)  # type: ignore[arg-type]
    backbone, text = tiny_backbone(selector), text_tokens()
    blocks = blocks_macs([17, 17, 10, 10], WIDTH, mlp_ratio=2.0)
    scorer = text_semantic_macs(16, WIDTH, WIDTH, product=interaction == "product")
    assert count_macs(lambda: backbone(images(), text)) == PATCHES + 3 * (blocks + scorer)


@pytest.mark.parametrize(("pixels", "full"), [(224, 17.45), (256, 23.05), (384, 55.14), (512, 106.42)])
def test_vit_base_has_the_known_figures(pixels: int, full: float) -> None:
    tokens = (pixels // 16) ** 2 + 1
    assert blocks_macs([tokens] * 12, 768) / 1e9 == pytest.approx(full, abs=0.005)


def test_a_selection_inside_block_six_has_the_known_figure() -> None:
    """At 384 px, half of 576 patches: attention of block 6 sees 577 tokens, its feed-forward part and the rest 290."""
    before, after, dim = 577, 290, 768
    split = 4 * before * dim**2 + 2 * before**2 * dim + 8 * after * dim**2
    total = blocks_macs([before] * 5, dim) + split + blocks_macs([after] * 6, dim)
    assert total / 1e9 == pytest.approx(39.31, abs=0.005)


def test_attention_is_counted() -> None:
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.randn(1, 5, 8)
    assert count_macs(lambda: attention(tokens, tokens, tokens, need_weights=False)) == 4 * 5 * 64 + 2 * 25 * 8
    assert block_macs(5, 8) == 12 * 5 * 64 + 2 * 25 * 8


def test_layers_with_a_fast_path_are_counted_in_eval_mode_too() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 32, batch_first=True).eval()
    assert count_macs(lambda: layer(torch.randn(1, 5, 8))) == block_macs(5, 8)
