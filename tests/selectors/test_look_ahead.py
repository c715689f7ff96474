"""ELIP against the figures of its own code, and its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.selectors.look_ahead import LookAheadSelector
from bus_toolkit.structures import TextTokens
from tests.tiny import WIDTH, block_view, images, text_tokens, tiny_backbone

STAGES = {"blocks": [3, 5, 11], "look_ahead": [2, 6, 2], "keep_ratio": [14 / 16, 10 / 16, 6 / 16]}


def elip(**kwargs: object) -> LookAheadSelector:
    return LookAheadSelector(**{"blocks": [2], "embed_dim": WIDTH, "text_dim": WIDTH, **kwargs})  # type: ignore[arg-type]


def fill(shape: torch.Size | tuple[int, ...], a: float, b: float) -> Tensor:
    """Return ``sin(a k + b)`` over the flattened index k, in float64."""
    return torch.sin(a * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + b).reshape(shape)


def reference_backbone() -> TokenReducingBackbone:
    """Return the transformer of the reference figures: parameter j is 0.3 fill(0.37, 0.11 j), norm weights plus 1."""
    arch = {"embed_dims": 32, "num_layers": 12, "num_heads": 4, "feedforward_channels": 128}
    vit = VisionTransformer(arch=arch, img_size=64, patch_size=16, out_type="raw").double()
    block = "ln1.{0} attn.qkv.{0} attn.proj.{0} ln2.{0} ffn.layers.0.0.{0} ffn.layers.1.{0}".split()
    names = ["cls_token", "pos_embed", "patch_embed.projection.weight", "patch_embed.projection.bias"]
    names += [f"layers.{i}.{part.format(kind)}" for i in range(12) for part in block for kind in ("weight", "bias")]
    names += ["ln1.weight", "ln1.bias"]
    parameters = dict(vit.named_parameters())
    assert set(names) == set(parameters)
    with torch.no_grad():
        for j, name in enumerate(names):
            is_norm = ".ln" in f".{name}" and name.endswith("weight")
            parameters[name].copy_(0.3 * fill(parameters[name].shape, 0.37, 0.11 * j) + float(is_norm))
    return TokenReducingBackbone(vit, [LookAheadSelector(embed_dim=32, text_dim=32, **STAGES)]).eval()  # type: ignore[arg-type]


def test_reproduces_the_outputs_of_the_published_code() -> None:
    """Figures of guoyang9/ELIP:ALBEF/models/vit.py at 2d6b65b, run in float64 with these weights and inputs."""
    pooled = fill((2, 32), 0.81, 0.6)
    text = TextTokens(pooled.unsqueeze(1), pooled, torch.ones(2, 1, dtype=torch.bool))
    pixels = fill((2, 3, 64, 64), 0.013, 0.4)
    backbone = reference_backbone()
    with torch.no_grad():
        out = backbone(pixels, text).embeds
        plain = backbone.forward_conditioned(backbone.forward_shared(pixels), None, select="none").embeds
    assert out.shape == (2, 8, 32) and plain.shape == (2, 17, 32)
    sums = torch.stack([out.sum(), out.abs().sum(), plain.sum(), plain.abs().sum()])
    expected = [-0.031036287, 468.219686796, -0.723038453, 995.597625856]
    torch.testing.assert_close(sums, torch.tensor(expected, dtype=torch.float64), atol=1e-8, rtol=0.0)
    corners = torch.cat([out[0, 0, :3], out[-1, -1, :3]])
    expected = [0.828810976, -0.89866485, 0.769799846, 0.837611469, -0.901825429, 0.761039059]
    torch.testing.assert_close(corners, torch.tensor(expected, dtype=torch.float64), atol=1e-8, rtol=0.0)


def test_tokens_of_each_block_are_the_published_ones() -> None:
    """196 patches: 197, 197, 178, 178, 129 six times, 80, 80 (kept + CLS + fused; shares of the original count)."""
    arch = {"embed_dims": 8, "num_layers": 12, "num_heads": 1, "feedforward_channels": 8}
    vit = VisionTransformer(arch=arch, img_size=224, patch_size=16, out_type="raw")
    selector = elip(embed_dim=8, text_dim=8, blocks=[3, 5, 11], look_ahead=[2, 6, 2], keep_ratio=[0.9, 0.65, 0.4])
    backbone, lengths = TokenReducingBackbone(vit, [selector]).eval(), []
    handles = [layer.attn.register_forward_pre_hook(lambda m, x: lengths.append(x[0].shape[1])) for layer in vit.layers]
    text = TextTokens(torch.randn(1, 1, 8), torch.randn(1, 8), torch.ones(1, 1, dtype=torch.bool))
    backbone(torch.randn(1, 3, 224, 224), text)
    assert len(handles) == 12
    assert lengths == [197, 197, 178, 178] + [129] * 6 + [80, 80]


def test_without_text_in_the_cls_token_it_ignores_the_text() -> None:
    backbone = tiny_backbone(elip(text_weight=0.0, keep_ratio=0.5))
    assert torch.equal(backbone(images(), text_tokens(seed=1)).embeds, backbone(images(), text_tokens(seed=2)).embeds)
    backbone = tiny_backbone(elip(text_weight=1.0, keep_ratio=0.5))
    assert not torch.equal(
        backbone(images(), text_tokens(seed=1)).origin, backbone(images(), text_tokens(seed=2)).origin
    )


def test_looking_one_block_ahead_without_text_ranks_by_cls_attention() -> None:
    backbone = tiny_backbone(elip(text_weight=0.0, look_ahead=1))
    scores = backbone(images(), text_tokens()).selections[0].decision.scores
    torch.testing.assert_close(scores, backbone(images(), None).selections[0].decision.scores)


def test_images_get_gradient_through_kept_and_fused_tokens_and_the_text_none() -> None:
    backbone, text = tiny_backbone(elip(keep_ratio=0.5)), text_tokens()
    pooled = text.pooled.clone().requires_grad_()
    pixels = images().requires_grad_()
    backbone(pixels, TextTokens(text.embeds, pooled, text.attention_mask)).embeds.square().mean().backward()
    assert pooled.grad is None
    assert pixels.grad is not None and (pixels.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_a_stage_asks_for_no_more_than_is_left() -> None:
    backbone = tiny_backbone(elip(blocks=[1, 3], keep_ratio=[0.5, 0.9]))
    visual = backbone(images(), text_tokens())
    assert [s.decision.plan.num_slots for s in visual.selections] == [9, 9]
    assert visual.selections[1].decision.plan.is_identity


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"text_dim": 8}, "text_dim: the text .* both must be equally wide, got 8 and 32"),
        (
            {"keep_ratio": [0.5, 0.4]},
            r"keep_ratio: a list .* one value a block, got \[0.5, 0.4\] for blocks \[2\]",
        ),
        ({"look_ahead": [1, 2]}, "look_ahead: a list must have one value a block"),
        ({"look_ahead": 0}, "look_ahead and text_weight: must be 1 or more blocks"),
        ({"text_weight": 1.5}, "a share in .0, 1., got 2 and 1.5"),
        ({"keep_ratio": [1.2]}, r"must be in \(0, 1\], got 1.2"),
    ],
)
def test_bad_arguments_are_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        elip(**kwargs)


def test_one_share_for_all_blocks_takes_the_place_of_one_a_block() -> None:
    selector = elip(**STAGES)
    seen = block_view(torch.randn(1, 16, WIDTH))
    before = selector.num_kept(replace(seen, block=3))
    with selector.at_keep_ratio(0.25):
        assert [selector.num_kept(replace(seen, block=block)) for block in (3, 5, 11)] == [4, 4, 4]
    assert before == selector.num_kept(replace(seen, block=3)) == 14
