"""Weights of other libraries give the outputs that these libraries compute from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from mmpretrain.models import DeiT3, DistilledVisionTransformer

from bus_toolkit.backbones.adapters.huggingface_parts import inner_tower
from bus_toolkit.ops.rotary import eva02_angles
from bus_toolkit.weights.loading import load_pretrained
from tests.weights.sources import DEPTH, HEADS, HF, WIDTH, beit, eva02, images, randomised, vit

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
QUICK = {"act_cfg": {"type": "mmpretrain.QuickGELU"}}
TANH = {"act_cfg": {"type": "GELU", "approximate": "tanh"}}


def ln(eps: float) -> dict[str, Any]:
    return {"type": "LN", "eps": eps}


def clip_tokens(model: Any) -> torch.Tensor:
    tower, _ = inner_tower(model)
    return tower.post_layernorm(tower(images()).last_hidden_state)


def load(module: Any, source: Any, folder: Path, layout: str) -> Any:
    source.save_pretrained(folder)
    report = load_pretrained(module, folder, part="model.backbone")
    assert report.layout == layout
    assert not report.missing
    return report


def test_vit(tmp_path: Path) -> None:
    source = randomised(hf.ViTModel(hf.ViTConfig(**HF)))
    module = vit(norm_cfg=ln(1e-12))
    report = load(module, source, tmp_path, "hf-vit")
    torch.testing.assert_close(module(images())[0], source(images()).last_hidden_state, **CLOSE)
    assert set(report.unexpected) == {"pooler.dense.weight", "pooler.dense.bias"}


def test_vit_of_a_classifier(tmp_path: Path) -> None:
    source = randomised(hf.ViTForImageClassification(hf.ViTConfig(**HF, num_labels=3)))
    module = vit(norm_cfg=ln(1e-12))
    report = load(module, source, tmp_path, "hf-vit")
    torch.testing.assert_close(module(images())[0], source.vit(images()).last_hidden_state, **CLOSE)
    assert report.unexpected == ["classifier.bias", "classifier.weight"]


def test_distilled_deit(tmp_path: Path) -> None:
    source = randomised(hf.DeiTModel(hf.DeiTConfig(**HF)))
    module = vit(DistilledVisionTransformer, norm_cfg=ln(1e-12))
    load(module, source, tmp_path, "hf-vit")
    torch.testing.assert_close(module(images())[0], source(images()).last_hidden_state, **CLOSE)


def test_encoder_of_a_masked_autoencoder(tmp_path: Path) -> None:
    small = {f"decoder_{name}": 8 for name in ("hidden_size", "intermediate_size")}
    config = hf.ViTMAEConfig(**HF, **small, decoder_num_hidden_layers=1, decoder_num_attention_heads=2, mask_ratio=0.0)
    source = randomised(hf.ViTMAEForPreTraining(config))
    module = vit(norm_cfg=ln(1e-12))
    load(module, source, tmp_path, "hf-vit")
    with torch.no_grad():
        encoded = source.vit(images(), noise=torch.arange(16.0).expand(2, -1))  # the order of the patches, none masked
    torch.testing.assert_close(module(images())[0], encoded.last_hidden_state, **CLOSE)


def test_clip_tower(tmp_path: Path) -> None:
    source = randomised(hf.CLIPVisionModel(hf.CLIPVisionConfig(**HF)))
    module = vit(pre_norm=True, norm_cfg=ln(1e-5), layer_cfgs=QUICK)
    load(module, source, tmp_path, "hf-clip")
    out = module(images())[0]
    torch.testing.assert_close(out, clip_tokens(source), **CLOSE)
    torch.testing.assert_close(out[:, 0], source(images()).pooler_output, **CLOSE)


def test_vision_half_of_clip(tmp_path: Path) -> None:
    words = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    source = randomised(hf.CLIPModel(hf.CLIPConfig(text_config={**words, "vocab_size": 9}, vision_config=HF)))
    module = vit(pre_norm=True, norm_cfg=ln(1e-5), layer_cfgs=QUICK)
    report = load(module, source, tmp_path, "hf-clip")
    torch.testing.assert_close(module(images())[0], clip_tokens(source), **CLOSE)
    assert "text_projection.weight" in report.unexpected


def test_siglip_without_its_pooling(tmp_path: Path) -> None:
    source = randomised(hf.SiglipVisionModel(hf.SiglipVisionConfig(**HF)))
    module = vit(with_cls_token=False, layer_cfgs=TANH)
    report = load(module, source, tmp_path, "hf-siglip")
    torch.testing.assert_close(module(images())[0], source(images()).last_hidden_state, **CLOSE)
    assert "vision_model.head.probe" in report.unexpected
    assert "pools by attention" in report.summary()


def test_dinov2(tmp_path: Path) -> None:
    sizes = {**HF, "mlp_ratio": 2}
    del sizes["intermediate_size"]
    source = randomised(hf.Dinov2Model(hf.Dinov2Config(**sizes)))
    arch = {"embed_dims": WIDTH, "num_layers": DEPTH, "num_heads": HEADS, "feedforward_channels": 2 * WIDTH}
    module = vit(arch=arch, layer_scale_init_value=1e-5)
    load(module, source, tmp_path, "hf-dinov2")
    torch.testing.assert_close(module(images())[0], source(images()).last_hidden_state, **CLOSE)


@pytest.mark.parametrize("kind", ["per layer", "shared", "absolute"])
def test_beit(tmp_path: Path, kind: str) -> None:
    config = hf.BeitConfig(
        **HF,
        use_relative_position_bias=kind == "per layer",
        use_shared_relative_position_bias=kind == "shared",
        use_absolute_position_embeddings=kind == "absolute",
        use_mean_pooling=False,
    )
    source = randomised(hf.BeitModel(config, add_pooling_layer=False))
    module = beit(
        use_rel_pos_bias=kind == "per layer",
        use_shared_rel_pos_bias=kind == "shared",
        use_abs_pos_emb=kind == "absolute",
        final_norm=True,
    )
    load(module, source, tmp_path, "hf-beit")
    torch.testing.assert_close(module(images())[0], source(images()).last_hidden_state, **CLOSE)


def test_beit_that_averages_its_patches(tmp_path: Path) -> None:
    source = randomised(hf.BeitModel(hf.BeitConfig(**HF, use_relative_position_bias=True)))
    module = beit(out_type="avg_featmap")
    load(module, source, tmp_path, "hf-beit")
    torch.testing.assert_close(module(images())[0], source(images()).pooler_output, **CLOSE)


def test_a_classifier_of_mmpretrain(tmp_path: Path) -> None:
    source = vit()
    tensors = {f"backbone.{name}": tensor for name, tensor in randomised(source, 7).state_dict().items()}
    torch.save({"state_dict": {**tensors, "head.fc.weight": torch.ones(2, 2)}}, tmp_path / "a.pth")
    module = vit()
    report = load_pretrained(module, tmp_path / "a.pth", part="model.backbone")
    torch.testing.assert_close(module(images())[0], source(images())[0], atol=0, rtol=0)
    assert (report.layout, report.unexpected) == ("mmpretrain-vit", ["head.fc.weight"])


@pytest.mark.parametrize("build", [vit, beit], ids=["vit", "beit"])
def test_another_image_size_keeps_the_prefix_and_resamples_the_patches(tmp_path: Path, build: Any) -> None:
    source, module = randomised(build(img_size=48), 7), build()
    torch.save(source.state_dict(), tmp_path / "a.pth")
    report = load_pretrained(module, tmp_path / "a.pth", part="model.backbone")
    assert len(report.resized) == (1 if build is vit else DEPTH)
    if build is vit:
        assert report.resized == [f"pos_embed (1, 37, {WIDTH}) to (1, 17, {WIDTH})"]
        assert torch.equal(module.pos_embed[:, 0], source.pos_embed[:, 0])
        expected = source(images(48))[0].shape[1] - 1
        assert expected == 36 and module(images())[0].isfinite().all()


def test_a_tower_under_its_own_names(tmp_path: Path) -> None:
    source, module = (randomised(hf.CLIPVisionModel(hf.CLIPVisionConfig(**HF)), seed) for seed in (0, 1))
    whole = {f"model.tower.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"model": {**whole, "model.head.weight": torch.ones(1)}}, tmp_path / "a.pth")
    report = load_pretrained(module, tmp_path / "a.pth", part="model.backbone")
    torch.testing.assert_close(module(images()).pooler_output, source(images()).pooler_output, atol=0, rtol=0)
    assert (report.layout, report.unexpected) == ("identity", ["model.head.weight"])


def test_a_tower_under_its_own_names_gets_positions_of_another_size(tmp_path: Path) -> None:
    source, module = (randomised(hf.ViTModel(hf.ViTConfig(**{**HF, "image_size": size}))) for size in (48, 32))
    source.save_pretrained(tmp_path)
    report = load_pretrained(module, tmp_path, part="model.backbone")
    assert report.resized == [f"embeddings.position_embeddings (1, 37, {WIDTH}) to (1, 17, {WIDTH})"]
    assert torch.equal(module.embeddings.position_embeddings[:, 0], source.embeddings.position_embeddings[:, 0])


def test_a_class_of_mmpretrain_that_computes_otherwise_is_named(tmp_path: Path) -> None:
    source, module = randomised(vit(DeiT3), 7), vit(DeiT3)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    report = load_pretrained(module, tmp_path / "a.pth", part="model.backbone")
    assert "read their first norm twice" in report.summary()


def test_rotary_angles_of_mmpretrains_files_come_along(tmp_path: Path) -> None:
    source, module = randomised(eva02(), 7), eva02()
    source.rope.freqs_cos.copy_(eva02_angles((4, 4), WIDTH // HEADS, "cos"))
    source.rope.freqs_sin.copy_(eva02_angles((4, 4), WIDTH // HEADS, "sin"))
    tensors = {f"backbone.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    load_pretrained(module, tmp_path / "a.pth", part="model.backbone")
    torch.testing.assert_close(module(images())[0], source(images())[0], atol=0, rtol=0)
    larger = eva02(img_size=48)
    load_pretrained(larger, tmp_path / "a.pth", part="model.backbone")
    assert torch.equal(larger.rope.freqs_sin, eva02_angles((6, 6), WIDTH // HEADS, "sin"))
