"""TRIPS against its formula, and where it meets EViT."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmpretrain.models import VisionTransformer
from torch.nn import functional as F

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.selectors.text_guided_attention import TextGuidedAttentionSelector
from bus_toolkit.structures import TextTokens
from tests.tiny import WIDTH, images, text_tokens, tiny_backbone, tiny_vit


def trips(**kwargs: object) -> TextGuidedAttentionSelector:
    return TextGuidedAttentionSelector(**{"blocks": [2], "embed_dim": WIDTH, "text_dim": WIDTH, **kwargs})  # type: ignore[arg-type]


def inside_block_2(text: TextTokens) -> dict[str, torch.Tensor]:
    """Return, from plain mmpretrain code, what the second block holds between its two halves."""
    backbone = tiny_backbone()
    layer, tokens = backbone.vit.layers[1], backbone.vit.layers[0](_tokens_in(backbone.vit))
    normed = layer.ln1(tokens)
    qkv = layer.attn.qkv(normed)
    outputs = tokens + layer.attn(normed)
    weight, bias = layer.attn.qkv.weight[:WIDTH], layer.attn.qkv.bias[:WIDTH]
    return {
        "query": F.linear(text.pooled, weight, bias),
        "outputs": outputs[:, 1:],
        "normed": layer.ln2(outputs)[:, 1:],
        "keys": qkv[:, 1:, WIDTH : 2 * WIDTH],
    }


def _tokens_in(vit: VisionTransformer) -> torch.Tensor:
    patches, _ = vit.patch_embed(images())
    return torch.cat([vit.cls_token.expand(3, -1, -1), patches], dim=1) + vit.pos_embed


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("compare_with", ["outputs", "normed", "keys"])
def test_scores_are_the_attention_of_the_projected_text(compare_with: str, per_head: bool) -> None:
    text = text_tokens()
    scores = (
        tiny_backbone(trips(compare_with=compare_with, per_head=per_head))(images(), text).selections[0].decision.scores
    )
    parts, heads = inside_block_2(text), 4 if per_head else 1
    expected = []
    for head in torch.arange(WIDTH).chunk(heads):
        logits = (parts[compare_with][..., head] @ parts["query"][:, head, None]).squeeze(-1) / len(head) ** 0.5
        expected.append(logits.softmax(dim=-1))
    torch.testing.assert_close(scores, torch.stack(expected).mean(dim=0), atol=1e-5, rtol=1e-4)


def test_the_visual_cls_token_as_text_ranks_patches_as_its_own_attention_does() -> None:
    """With one head, keys, and the query of the visual CLS token, TRIPS is EViT's ranking."""
    arch = {"embed_dims": WIDTH, "num_layers": 4, "num_heads": 1, "feedforward_channels": 64}
    one_head = VisionTransformer(arch=arch, img_size=32, patch_size=8, out_type="raw")
    one_head.load_state_dict(tiny_vit().state_dict())
    backbone = TokenReducingBackbone(one_head, [trips(compare_with="keys")]).eval()
    block_in = one_head.layers[0](_tokens_in(one_head))
    cls = one_head.layers[1].ln1(block_in)[:, 0]
    by_text = backbone(images(), replace(text_tokens(), pooled=cls)).selections[0].decision.scores
    by_cls = backbone(images(), None).selections[0].decision.scores
    torch.testing.assert_close(by_text, by_cls / by_cls.sum(dim=1, keepdim=True), atol=1e-6, rtol=1e-4)


def test_the_own_attention_of_the_image_can_share_in_the_score() -> None:
    text = text_tokens()
    own = tiny_backbone(trips())(images(), None).selections[0].decision.scores
    own = own / own.sum(dim=1, keepdim=True)
    of_text = tiny_backbone(trips())(images(), text).selections[0].decision.scores
    mixed = tiny_backbone(trips(cls_share=0.25))(images(), text).selections[0].decision.scores
    torch.testing.assert_close(mixed, 0.75 * of_text + 0.25 * own)


@pytest.mark.parametrize("detach_fused", [False, True])
def test_the_text_learns_through_the_fused_token_unless_detached(detach_fused: bool) -> None:
    backbone, text = tiny_backbone(trips(detach_fused=detach_fused)), text_tokens()
    pooled = text.pooled.clone().requires_grad_()
    backbone(images(), TextTokens(text.embeds, pooled, text.attention_mask)).embeds.square().mean().backward()
    assert (pooled.grad is None or not pooled.grad.any()) == detach_fused


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"text_dim": 8}, "text_dim: the block's query weights .* equally wide, got 8 and 32"),
        ({"compare_with": "values"}, "must be one of outputs, normed, keys"),
        ({"cls_share": 2.0}, "a share in .0, 1., got 'outputs' and 2.0"),
    ],
)
def test_bad_arguments_are_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trips(**kwargs)
