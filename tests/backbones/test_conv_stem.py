import pytest
import torch

from bus_toolkit.backbones.conv_stem import conv_stem_vit
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ComponentError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.random import RandomSelector
from tests.tiny import images, tiny_vit

ARCH = {"embed_dims": 32, "num_layers": 4, "num_heads": 4, "feedforward_channels": 64}


def build(**settings):
    torch.manual_seed(0)
    return conv_stem_vit(**{"arch": ARCH, "img_size": 32, "patch_size": 8, "stem_channels": [8, 8, 16, 16], **settings})


def test_weights_of_a_plain_transformer_give_the_plain_transformer():
    plain, backbone = TokenReducingBackbone(tiny_vit()).eval(), TokenReducingBackbone(build()).eval()
    missing, unexpected = backbone.load_state_dict(plain.vit.state_dict(), strict=False)
    assert not unexpected and all(".stem" in name for name in missing)
    assert torch.equal(backbone(images()).embeds, plain(images()).embeds)


def test_the_stem_learns_and_distinguishes_patches_from_neighbours():
    backbone = TokenReducingBackbone(build(), [RandomSelector(blocks=[2], keep_ratio=0.5)])
    torch.nn.init.normal_(backbone.vit.patch_embed.stem_out.weight, std=0.2)
    backbone(images()).embeds.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in backbone.parameters())
    picture = images(1)
    changed = picture.clone()
    changed[:, :, :8, 8:16] += 1.0
    with torch.no_grad():
        before, after = (backbone.vit.patch_embed(x)[0][0] for x in (picture, changed))
    moved = (before - after).abs().sum(dim=1) > 1e-4
    assert moved[0] and moved[1], "the patch left of the changed one sees it too"


def test_no_sample_depends_on_its_batch():
    embed = build().patch_embed
    torch.nn.init.normal_(embed.stem_out.weight)
    together, alone = embed(images())[0][1:2], embed(images()[1:2])[0]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("patch_size", "channels"), [(8, [8, 8]), (6, [8, 8, 8]), (1, [])])
def test_refuses_patches_that_its_convolutions_cannot_reach(patch_size, channels):
    cfg = {"type": "ConvStemViT", "arch": ARCH, "img_size": 48, "patch_size": patch_size, "stem_channels": channels}
    with pytest.raises(ComponentError, match=r"model.backbone: ConvStemViT refuses.*must be a power of two.*got"):
        REGISTRIES.backbones.build(cfg, path="model.backbone")
