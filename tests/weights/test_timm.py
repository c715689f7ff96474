"""timm's names, from timm 1.0.31:models/{vision_transformer,beit,eva}.py, and its outputs where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.loading import load_pretrained
from tests.weights.sources import (
    DEPTH,
    HEADS,
    HIDDEN,
    WIDTH,
    beit,
    eva02,
    images,
    randomised,
    saved,
    state_of,
    unchanged,
    vit,
)

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}


def pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def common(positions: int = 17) -> dict[str, tuple[int, ...]]:
    names: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, WIDTH), "pos_embed": (1, positions, WIDTH)}
    return {**names, **pair("patch_embed.proj", WIDTH, 3, 8, 8)}


def block(index: int, *, scale: tuple[str, str] | None = None) -> dict[str, tuple[int, ...]]:
    at = f"blocks.{index}"
    names = {**pair(f"{at}.norm1", WIDTH), **pair(f"{at}.norm2", WIDTH), **pair(f"{at}.attn.proj", WIDTH, WIDTH)}
    names |= pair(f"{at}.attn.qkv", 3 * WIDTH, WIDTH)
    names |= {**pair(f"{at}.mlp.fc1", HIDDEN, WIDTH), **pair(f"{at}.mlp.fc2", WIDTH, HIDDEN)}
    return {**names, **{f"{at}.{name}": (WIDTH,) for name in scale or ()}}


def random_state(names: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(9)
    return {name: torch.randn(shape, generator=generator) for name, shape in names.items()}


def plain(**settings: Any) -> dict[str, tuple[int, ...]]:
    blocks = [block(i, **settings) for i in range(DEPTH)]
    return {**common(), **pair("norm", WIDTH), **{name: shape for one in blocks for name, shape in one.items()}}


def test_names_of_vit_deit_and_mae(tmp_path: Path) -> None:
    source = random_state({**plain(), **pair("head", 5, WIDTH)})
    module = vit()
    report = load_pretrained(module, saved(source, tmp_path / "a.pth"), part="model.backbone")
    own = module.state_dict()
    assert torch.equal(own["layers.1.ffn.layers.1.weight"], source["blocks.1.mlp.fc2.weight"])
    assert torch.equal(own["layers.0.ffn.layers.0.0.bias"], source["blocks.0.mlp.fc1.bias"])
    assert torch.equal(own["ln1.weight"], source["norm.weight"])
    assert report.layout == "timm-vit" and report.unexpected == ["head.weight", "head.bias"]


@pytest.mark.parametrize("scale", [("ls1.gamma", "ls2.gamma"), ("gamma_1", "gamma_2")], ids=["timm", "DeiT III"])
def test_names_of_layer_scales(tmp_path: Path, scale: tuple[str, str]) -> None:
    source = random_state({**plain(scale=scale), "pos_embed": (1, 16, WIDTH)})
    module = vit(layer_scale_init_value=1e-5)
    load_pretrained(module, saved(source, tmp_path / "a.pth"), part="model.backbone")
    assert torch.equal(module.layers[1].attn.gamma1.weight, source[f"blocks.1.{scale[0]}"])
    assert torch.equal(module.layers[1].ffn.gamma2.weight, source[f"blocks.1.{scale[1]}"])
    # Its class token has no position: zero is none.
    assert torch.equal(module.pos_embed[:, 1:], source["pos_embed"]) and not module.pos_embed[:, 0].any()


def test_a_layer_scale_that_the_model_has_no_is_named_with_the_setting(tmp_path: Path) -> None:
    source = random_state(plain(scale=("ls1.gamma", "ls2.gamma")))
    module = vit()
    before = state_of(module)
    with pytest.raises(CheckpointError, match=r"has layers\.0\.attn\.gamma1\.weight.* Set layer_scale_init_value to"):
        load_pretrained(module, saved(source, tmp_path / "a.pth"), part="model.backbone")
    assert unchanged(module, before)


@pytest.mark.parametrize("extra", ["reg_token", "blocks.0.attn.q_norm.weight", "attn_pool.latent"])
def test_what_no_model_of_mmpretrain_has_is_refused_with_the_reason(tmp_path: Path, extra: str) -> None:
    source = random_state({**plain(), extra: (1, 2, WIDTH)})
    with pytest.raises(CheckpointError, match=f"has {extra}: .*use the timm tower itself"):
        load_pretrained(vit(), saved(source, tmp_path / "a.pth"), part="model.backbone")


def test_a_name_that_no_rule_knows_is_not_passed_over(tmp_path: Path) -> None:
    source = random_state({**plain(), "blocks.0.attn.gate.weight": (WIDTH,)})
    with pytest.raises(CheckpointError, match=r"it has blocks\.0\.attn\.gate\.weight, which the model does not have"):
        load_pretrained(vit(), saved(source, tmp_path / "a.pth"), part="model.backbone")


def test_names_of_beit(tmp_path: Path) -> None:
    names = {**common(), **pair("fc_norm", WIDTH)}
    del names["pos_embed"]
    for i in range(DEPTH):
        names |= block(i, scale=("gamma_1", "gamma_2"))
        del names[f"blocks.{i}.attn.qkv.bias"]
        names |= {f"blocks.{i}.attn.q_bias": (WIDTH,), f"blocks.{i}.attn.v_bias": (WIDTH,)}
        names[f"blocks.{i}.attn.relative_position_bias_table"] = (52, HEADS)
    source, module = random_state(names), beit(out_type="avg_featmap")
    report = load_pretrained(module, saved(source, tmp_path / "a.pth"), part="model.backbone")
    assert report.layout == "timm-beit"
    assert torch.equal(module.layers[1].attn.v_bias, source["blocks.1.attn.v_bias"])
    assert torch.equal(module.ln2.weight, source["fc_norm.weight"])


def test_names_of_eva02(tmp_path: Path) -> None:
    names = {**common(), **pair("norm", WIDTH)}
    for i in range(DEPTH):
        at = f"blocks.{i}"
        names |= {name: shape for name, shape in block(i).items() if ".qkv" not in name and ".fc1" not in name}
        for state in ("q_proj", "k_proj", "v_proj"):
            names |= pair(f"{at}.attn.{state}", WIDTH, WIDTH)
        del names[f"{at}.attn.k_proj.bias"]
        names |= {**pair(f"{at}.mlp.fc1_g", HIDDEN, WIDTH), **pair(f"{at}.mlp.fc1_x", HIDDEN, WIDTH)}
        names |= pair(f"{at}.mlp.norm", HIDDEN)
    source, module = random_state(names), eva02(sub_ln=True)
    load_pretrained(module, saved(source, tmp_path / "a.pth"), part="model.backbone")
    bias = module.layers[1].attn.qkv.bias
    assert torch.equal(bias[:WIDTH], source["blocks.1.attn.q_proj.bias"])
    assert not bias[WIDTH : 2 * WIDTH].any()
    assert torch.equal(module.layers[0].mlp.w12.weight[HIDDEN:], source["blocks.0.mlp.fc1_x.weight"])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"init_values": 0.1, "no_embed_class": True}, {"layer_scale_init_value": 0.1}),
        ({"pre_norm": True}, {"pre_norm": True}),
    ],
    ids=["vit", "DeiT III", "CLIP"],
)
def test_outputs_of_vit(tmp_path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    timm = pytest.importorskip("timm.models.vision_transformer", reason="timm is not installed")
    source = randomised(timm.VisionTransformer(**SIZES, mlp_ratio=HIDDEN / WIDTH, num_classes=0, **theirs))
    module = vit(**ours)
    load_pretrained(module, saved(source.state_dict(), tmp_path / "a.pth"), part="model.backbone")
    eps = source.norm.eps
    assert module.ln1.eps == eps
    torch.testing.assert_close(module(images())[0], source.forward_features(images()), **CLOSE)


def test_outputs_of_beit(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm.models.beit", reason="timm is not installed")
    settings = {"use_rel_pos_bias": True, "use_abs_pos_emb": False, "init_values": 0.1, "num_classes": 0}
    source = randomised(timm.Beit(**SIZES, mlp_ratio=HIDDEN / WIDTH, **settings))
    module = vit(type(beit()), out_type="avg_featmap", norm_cfg={"type": "LN", "eps": source.fc_norm.eps})
    load_pretrained(module, saved(source.state_dict(), tmp_path / "a.pth"), part="model.backbone")
    torch.testing.assert_close(module(images())[0], source(images()), **CLOSE)


@pytest.mark.parametrize("large", [True, False], ids=["base, large", "tiny, small"])
def test_outputs_of_eva02(tmp_path: Path, large: bool) -> None:
    timm = pytest.importorskip("timm.models.eva", reason="timm is not installed")
    settings = {"swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (16, 16), "num_classes": 0}
    variant = {"qkv_fused": not large, "scale_mlp": large, "global_pool": "token"}
    source = randomised(timm.Eva(**SIZES, mlp_ratio=HIDDEN / WIDTH, **settings, **variant))
    module = eva02(sub_ln=large)
    tensors = {name: tensor for name, tensor in source.state_dict().items() if "rope" not in name}
    load_pretrained(module, saved(tensors, tmp_path / "a.pth"), part="model.backbone")
    torch.testing.assert_close(module(images())[0], source.forward_features(images()), **CLOSE)
