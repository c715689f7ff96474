"""Our backbone against mmpretrain's own, in configs that mmpretrain's registry builds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import bus_toolkit
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.ops.follow_plans import patches_in_tokens
from bus_toolkit.selectors.random import RandomSelector
from tests.models.openmmlab_tiny import PATCHES, built, images, reduced, vit

KINDS = {
    "ViT": vit(),
    "CLIP": vit(pre_norm=True),
    "no class token": vit(with_cls_token=False),
    "DeiT": vit("DistilledVisionTransformer"),
    "DeiT III": vit("DeiT3"),
    "BEiT": vit("BEiTViT"),
    "EVA-02": vit("ViTEVA02", sub_ln=True),
    "T2T": {
        "type": "T2T_ViT",
        "img_size": 64,
        "embed_dims": 32,
        "num_layers": 4,
        "t2t_cfg": {"token_dims": 16, "use_performer": False},
        "layer_cfgs": {"num_heads": 4, "feedforward_channels": 64},
    },
}
# mmpretrain refuses the first, and fails on the second.
IMPOSSIBLE = {("no class token", "cls_token"), ("DeiT III", "avg_featmap")}
CASES = [
    (kind, out_type)
    for kind in KINDS
    for out_type in ("cls_token", "avg_featmap", "featmap", "raw")
    if (kind, out_type) not in IMPOSSIBLE
]
EVIT = {"type": "EViT", "blocks": [2, 3], "keep_ratio": 0.5}
DROP = {**EVIT, "fuse": "none"}
TOME = {"type": "ToMe", "blocks": [1, 2, 3], "num_merged": 3}


def tensors(output: tuple[Any, ...]) -> list[Tensor]:
    """Return what a backbone gave; the pair of a distilled one laid flat."""
    assert len(output) == 1
    return list(output[0]) if isinstance(output[0], tuple) else [output[0]]


def same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


@pytest.mark.parametrize(("kind", "out_type"), CASES)
def test_keeping_everything_is_mmpretrains_backbone_bit_for_bit(kind: str, out_type: str) -> None:
    plain = built({**KINDS[kind], "out_type": out_type})
    for selectors in ([], [{**EVIT, "keep_ratio": 1.0}]):
        ours = built(reduced(*selectors, plain=KINDS[kind], out_type=out_type), seed=2)
        ours.load_state_dict(plain.state_dict())
        pictures = images(size=KINDS[kind]["img_size"])
        assert same(ours(pictures), plain(pictures))


@pytest.mark.parametrize("selector", [EVIT, DROP, TOME], ids=["EViT", "EViT that drops", "ToMe"])
@pytest.mark.parametrize(("kind", "out_type"), CASES)
def test_a_reduced_backbone_gives_the_shapes_that_heads_expect(
    kind: str, out_type: str, selector: dict[str, Any]
) -> None:
    ours = built(reduced(selector, plain=KINDS[kind], out_type=out_type))
    shapes = {"cls_token": (2, 32), "avg_featmap": (2, 32), "featmap": (2, 32, 4, 4)}
    for output in tensors(ours(images(size=KINDS[kind]["img_size"]))):
        if out_type == "raw":
            assert output.shape[1] < ours.num_prefix + PATCHES
        else:
            assert output.shape == shapes[out_type]


def test_the_mean_counts_each_token_by_its_patches() -> None:
    ours = built(reduced(TOME, out_type="avg_featmap"))
    visual = TokenReducingBackbone.forward(ours, images())
    assert visual.origin is not None
    patches = visual.embeds[:, 1:]
    sizes = patches_in_tokens(visual.origin, patches.shape[1])
    assert sizes.max() > 1
    rows = [(p * s.unsqueeze(1)).sum(dim=0) / PATCHES for p, s in zip(patches, sizes, strict=True)]
    assert torch.allclose(ours(images())[0], ours.vit.ln2(torch.stack(rows)), atol=1e-6)


ONE_FUSED = {"type": "EViT", "blocks": [2], "keep_ratio": 0.9}  # 15 kept and one fused: as many tokens as patches


@pytest.mark.parametrize("selector", [DROP, EVIT, ONE_FUSED, TOME], ids=["drop", "fuse", "fuse one", "merge"])
def test_a_feature_map_holds_what_each_patch_became_and_zeros_where_it_was_dropped(selector: dict[str, Any]) -> None:
    ours = built(reduced(selector, out_type="featmap"))
    visual = TokenReducingBackbone.forward(ours, images())
    assert visual.origin is not None
    (grid,) = ours(images())
    for image in range(2):
        for patch, slot in enumerate(visual.origin[image].tolist()):
            token = visual.embeds[image, 1 + slot] if slot >= 0 else torch.zeros(32)
            assert torch.equal(grid[image, :, patch // 4, patch % 4], token)
    assert (visual.origin < 0).any() == (selector is DROP)


@pytest.mark.parametrize("name", ["Identity", "Random", "EViT", "ToMe", "Turbo", "VisionZip", "PruMerge"])
def test_selectors_that_need_no_text_work(name: str) -> None:
    (output,) = built(reduced({"type": name, "blocks": [2]}))(images())
    assert output.shape == (2, 32)
    assert output.isfinite().all()


def test_built_parts_are_taken_too() -> None:
    plain = built(vit(out_type="raw"))
    ours = bus_toolkit.TokenReducedViT(plain, [RandomSelector(blocks=[2], keep_ratio=0.5)])
    ours.eval()
    assert ours(images())[0].shape == (2, 1 + 8, 32)


def test_the_class_is_looked_up_by_name_in_any_scope() -> None:
    assert type(built(reduced())) is bus_toolkit.TokenReducedViT


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (reduced({"type": "EVit", "blocks": [2]}), r"model.backbone.selectors.0.type: no patch selector .*'EViT'\?"),
        (reduced({"type": "EViT", "blocks": [2], "keep_rate": 0.5}), r"selectors.0.keep_rate: .*'keep_ratio'\?"),
        (reduced({"type": "EViT"}), r"model.backbone.selectors.0.blocks: EViT needs this argument"),
        (reduced({"blocks": [2]}), r"model.backbone.selectors.0: must be a mapping with a 'type'"),
        (reduced({"type": "EViT", "blocks": [9]}), r"model.backbone.selectors.0.blocks: the backbone has 4 blocks"),
        (
            reduced({"type": "EViT", "blocks": [2], "keep_ratio": 2.0}),
            r"selectors.0.keep_ratio: must be in \(0, 1\], got 2.0",
        ),
        (reduced(EVIT, EVIT), r"model.backbone.selectors.1.blocks: block 2 already has selector 0"),
        (reduced({"type": "TSPS", "blocks": [2]}), r"selectors.0: TSPS reads a text, .* use EViT.*TextAware"),
        (reduced({"type": "ELIP", "blocks": [2]}), r"selectors.0: ELIP reads a text"),
        (reduced(plain=vit(out_indices=[1, 3])), r"model.backbone.vit.out_indices: .*got \[1, 3\]"),
        (reduced(plain=vit("DeiT3", out_type="avg_featmap")), r"out_type: mmpretrain's DeiT3 cannot give it .*ln2"),
        (
            reduced(plain={"type": "ResNet", "depth": 18}),
            r"model.backbone.vit: must be a vision transformer .*got ResNet",
        ),
    ],
)
def test_a_mistake_in_the_config_is_said_with_its_place(cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(BusError, match=message):
        built(cfg)


def test_a_plain_backbones_arguments_are_refused_with_the_place_to_put_them() -> None:
    with pytest.raises(
        ConfigError, match=r"got arch, img_size\. Arguments of the transformer go into vit.*_delete_=True"
    ):
        built({"type": "bus_toolkit.TokenReducedViT", "arch": "tiny", "img_size": 32})
    with pytest.raises(ConfigError, match="model.backbone: a TokenReducedViT needs vit, got none"):
        built({"type": "bus_toolkit.TokenReducedViT"})


def test_another_output_than_the_built_transformers_is_refused() -> None:
    with pytest.raises(ConfigError, match="the built VisionTransformer gives 'cls_token', got 'raw'"):
        bus_toolkit.TokenReducedViT(built(vit()), out_type="raw")


def test_a_selector_that_only_a_text_could_teach_is_refused() -> None:
    class Taught(RandomSelector):
        supervised = True

    with pytest.raises(BusError, match="Taught is trained by a patch-text head"):
        bus_toolkit.TokenReducedViT(built(vit()), [Taught(blocks=[2])])
    ours = built(reduced({"type": "MADTP", "blocks": [2]}))
    with pytest.raises(ConfigError, match="a head of VLPModel must align learned tokens"):
        ours(images())
