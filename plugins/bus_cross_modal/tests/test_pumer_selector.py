"""PuMer inside a single stream: a slow obvious version, its limits, what is refused."""

from __future__ import annotations

import pytest
import torch
from bus_cross_modal.pumer_selector import PuMerSelector
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.fusion import SingleStreamFusion
from bus_toolkit.structures import TextTokens, VisualTokens
from bus_toolkit.testing import tiny, tiny_model

HEADS = 4


def backbone(*selectors: PuMerSelector) -> TokenReducingBackbone:
    return TokenReducingBackbone(tiny.vision_transformer(torch.float64), selectors).eval()


def fusion() -> SingleStreamFusion:
    torch.manual_seed(0)
    return SingleStreamFusion(text_dim=tiny.WIDTH, embed_dim=tiny.WIDTH).double().eval()


def inputs() -> tuple[TextTokens, VisualTokens]:
    mask = torch.arange(7) < torch.tensor([[7], [4], [2]])
    words = tiny.numbers(3, 7, tiny.WIDTH, seed=1).double().masked_fill(~mask.unsqueeze(-1), 20.0)
    shared = backbone().forward_shared(tiny.numbers(3, 3, tiny.SIDE, tiny.SIDE).double(), 0)
    return TextTokens(words, words[:, 0], mask), VisualTokens(shared.tokens, 1, shared.grid)


def slow_layer(layer: torch.nn.Module, words: Tensor, image: Tensor, left: int, merged: int) -> tuple[Tensor, Tensor]:
    """Return words (L, D) and image tokens (1 + K, D) of a pair after a reducing block, loop by loop."""
    both = torch.cat([words, image])
    queries, keys, values = (
        part.unflatten(-1, (HEADS, -1)).transpose(0, 1) for part in layer.attn.qkv(layer.ln1(both)).chunk(3, dim=-1)
    )
    attention = (queries @ keys.transpose(1, 2) / queries.shape[-1] ** 0.5).softmax(dim=-1)  # (H, n, n)
    both = both + layer.attn.proj((attention @ values).transpose(0, 1).flatten(1))
    length = len(words)
    scores = attention[:, :length, length + 1 :].mean(dim=0).mean(dim=0).tolist()
    kept = sorted(sorted(range(len(scores)), key=lambda i: -scores[i])[: left + merged])
    metric = F.normalize(keys.mean(dim=0)[length + 1 :], dim=1).detach()
    # With the class token at place 0, the first set is tokens 0, 2, ... after it in our order: places 1, 3, ...
    second, first = kept[0::2], kept[1::2]
    best = {i: max(second, key=lambda j: float(metric[i] @ metric[j])) for i in first}
    gone = sorted(first, key=lambda i: -float(metric[i] @ metric[best[i]]))[:merged]
    groups = [[i] for i in first if i not in gone] + [[j, *(i for i in gone if best[i] == j)] for j in second]
    patches = torch.stack([both[[length + 1 + i for i in members]].mean(dim=0) for members in groups])
    both = torch.cat([both[: length + 1], patches])
    both = layer.ffn(layer.ln2(both), identity=both)
    return both[:length], both[length:]


def test_reducing_blocks_are_the_obvious_ones() -> None:
    """Two blocks in a row, of 16 patches: 2 pruned and 4 merged, then of 10: 1 and 3; each text without padding."""
    part, (text, visual) = fusion(), inputs()
    fused = part(text, visual, backbone(PuMerSelector(blocks=[2, 3], keep_ratio=0.6, merge_share=0.75)))
    assert fused.image is not None and fused.visual.shape == (3, 1 + 5, tiny.WIDTH)
    vit = backbone().vit
    for row, length in enumerate((7, 4, 2)):
        words = text.embeds[row, :length] + part.types.weight[0]
        image = visual.embeds[row] + part.types.weight[1]
        words, image = plain(vit.layers[0], words, image)
        words, image = slow_layer(vit.layers[1], words, image, 9, 5)
        words, image = slow_layer(vit.layers[2], words, image, 5, 3)
        words, image = plain(vit.layers[3], words, image)
        torch.testing.assert_close(fused.text[row, :length], vit.ln1(words), atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(fused.visual[row], vit.ln1(image), atol=1e-9, rtol=1e-9)


def plain(layer: torch.nn.Module, words: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    out = layer(torch.cat([words, image]).unsqueeze(0))[0]
    return out[: len(words)], out[len(words) :]


def test_two_texts_prune_different_patches_and_without_a_text_it_works() -> None:
    part, (text, visual) = fusion(), inputs()
    trunk = backbone(PuMerSelector(blocks=[2], keep_ratio=0.5, merge_share=0.0))
    other = TextTokens(text.embeds.flip(0), text.pooled, text.attention_mask.flip(0))
    one, two = (part(words, visual, trunk).image for words in (text, other))
    assert one is not None and two is not None and not torch.equal(one.kept_patches(), two.kept_patches())
    assert part.image_alone(visual, trunk, "all").kept_patches().sum(dim=1).tolist() == [8, 8, 8]


@pytest.mark.parametrize(("ratio", "share", "left"), [(0.6, 0.75, 9), (0.25, 1.0, 4), (1.0, 0.75, 16), (0.01, 0.5, 1)])
def test_what_is_left_follows_the_ratio_whatever_merges(ratio: float, share: float, left: int) -> None:
    part, (text, visual) = fusion(), inputs()
    fused = part(text, visual, backbone(PuMerSelector(blocks=[2], keep_ratio=ratio, merge_share=share)))
    assert fused.visual.shape[1] == 1 + left and fused.visual.isfinite().all()


def test_a_share_outside_its_range_and_a_backbone_of_patches_alone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"merge_share: must be in \[0, 1\], got 1.5"):
        PuMerSelector(blocks=[1], merge_share=1.5)
    with pytest.raises(ConfigError, match="model.selectors.0: PuMerSelector reads how words attend to patches"):
        tiny_model({"itm": {"type": "ITMHead"}}, selectors=[{"type": "PuMer", "blocks": [2]}], decoder=None)
    text, _ = inputs()
    with pytest.raises(ComponentError, match="a selector asks for the words in the sequence of the block"):
        backbone(PuMerSelector(blocks=[2]))(tiny.numbers(3, 3, tiny.SIDE, tiny.SIDE).double(), text)
