"""Whole models of others: every part gives what their layers compute from the same weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import transformers as hf

from bus_toolkit.errors import CheckpointError
from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
from bus_toolkit.fusion.skip_connected import SkipConnectedFusion
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.mapping import from_target
from bus_toolkit.weights.table_files import layouts
from tests.weights import vlp_sources as vlp
from tests.weights.sources import images, randomised, saved, state_of, unchanged

EXACT = {"atol": 1e-5, "rtol": 1e-5}
SIZES = {"text_dim": vlp.WIDTH, "embed_dim": vlp.WIDTH, "num_heads": vlp.HEADS}


def check_common(ours: vlp.VLPModel, vit: torch.nn.Module, tensors: dict[str, torch.Tensor], prefix: str = "") -> None:
    """Check the tower, the projections, the temperature and the matching head."""
    torch.testing.assert_close(ours.backbone(images()).embeds, vit(images())[0], **EXACT)
    itc = ours.heads["itc"]
    assert torch.equal(itc.projections["image"].weight, tensors[f"{prefix}vision_proj.weight"])
    assert torch.equal(itc.projections["text"].bias, tensors[f"{prefix}text_proj.bias"])
    assert itc.logit_scale.item() == pytest.approx(math.log(1 / 0.05))
    assert torch.equal(ours.heads["itm"].classifier.weight, tensors["itm_head.weight"])


@pytest.mark.parametrize("kind", ["albef", "albef retrieval", "torchmultimodal"])
def test_albef(tmp_path: Path, kind: str) -> None:
    vit, text = randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 2)
    build = vlp.torchmultimodal if kind == "torchmultimodal" else vlp.albef
    tensors = build(vit, text, fusion_start=1)
    if kind == "albef retrieval":  # its text encoder is a bare BertModel (models/model_retrieval.py)
        tensors = {n.replace("text_encoder.bert.", "text_encoder."): t for n, t in tensors.items() if ".cls." not in n}
    ours = vlp.model()
    report = load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")
    assert report.layout == ("torchmultimodal-albef" if kind == "torchmultimodal" else "albef")
    batch, image = vlp.batch(), vlp.image_states()
    embedded = text.bert.embeddings(batch.input_ids)
    states = vlp.run_layers(text.bert, embedded, range(1))
    torch.testing.assert_close(ours.encoders.encode_text(batch).embeds, states, **EXACT)
    expected = vlp.run_layers(text.bert, states, range(1, 2), image)
    torch.testing.assert_close(vlp.fused(ours, states, image), expected, **EXACT)
    check_common(ours, vit, tensors, "model_with_similarity." if kind == "torchmultimodal" else "")
    assert "text_decoder.bert.cls.predictions.transform.dense.weight" in report.missing
    assert any("_m." in name for name in report.unexpected)
    if kind == "albef":
        mlm = ours.heads["mlm"]
        # The norm's epsilon is 1e-5 here and 1e-12 there.
        torch.testing.assert_close(mlm.vocabulary(mlm.transform(states)), text.cls(states), atol=1e-4, rtol=1e-4)
    else:
        assert "heads.mlm.vocabulary.weight" in report.missing


def test_albef_with_another_division_of_its_layers_is_refused(tmp_path: Path) -> None:
    tensors = vlp.albef(randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 3), fusion_start=1)
    ours = vlp.model(text_layers=2)
    before = state_of(ours)
    with pytest.raises(
        CheckpointError, match="fusion layers 2, got a model with 1; text encoder layers 1, got a model"
    ):
        load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")
    assert unchanged(ours, before)


def test_blip(tmp_path: Path) -> None:
    vit, text = randomised(vlp.tower()), vlp.bert(hf.BertModel, 2, vocabulary=vlp.VOCABULARY + 2)
    decoder = vlp.bert(hf.BertLMHeadModel, 1, vocabulary=vlp.VOCABULARY + 2, seed=12)
    torch.nn.init.zeros_(text.embeddings.token_type_embeddings.weight)
    torch.nn.init.zeros_(decoder.bert.embeddings.token_type_embeddings.weight)
    seen = from_target(vit.state_dict(), layouts()["timm-vit"].rules).tensors
    tensors = {
        **vlp.under("visual_encoder.", seen),
        **vlp.under("text_encoder.", text.state_dict()),
        **vlp.under("text_decoder.", decoder.state_dict()),
        **vlp.common_heads(),
    }
    tensors = {name: tensor for name, tensor in tensors.items() if "token_type" not in name}
    ours = vlp.model(text_layers=2)
    report = load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")
    batch, image = vlp.batch(), vlp.image_states()
    states = vlp.run_layers(text, text.embeddings(batch.input_ids), range(2))
    torch.testing.assert_close(ours.encoders.encode_text(batch).embeds, states, **EXACT)
    # Not what BLIP computes as a whole, but its last layer reading the image.
    expected = vlp.run_layers(text, states, range(1, 2), image)
    torch.testing.assert_close(vlp.fused(ours, states, image), expected, **EXACT)
    check_common(ours, vit, tensors)
    logits = decoder(batch.input_ids, encoder_hidden_states=image).logits
    torch.testing.assert_close(ours.text_decoder(batch, image), logits[..., : vlp.VOCABULARY], **EXACT)
    assert report.layout == "blip" and "matching has to be trained again" in report.summary()
    assert any(name.startswith("text_encoder.bert.embeddings.word_embeddings") for name in report.resized)


def test_mplug_with_a_layer_that_processes_both(tmp_path: Path) -> None:
    clip = {"pre_norm": True, "norm_cfg": {"type": "LN", "eps": 1e-5}, "layer_cfgs": vlp.QUICK}
    vit, text = randomised(vlp.tower(**clip)), vlp.bert(hf.BertModel, 1)
    fusion = vlp.bert(hf.BertModel, 5, seed=13)  # as there, the first two are never run
    seen = from_target(vit.state_dict(), layouts()["openai-clip"].rules).tensors
    words = {name: tensor for name, tensor in text.state_dict().items() if "crossattention" not in name}
    tensors = {
        **vlp.under("visual_encoder.visual.", seen),
        "visual_encoder.token_embedding.weight": torch.zeros(3, 3),
        **vlp.under("text_encoder.", words),
        **vlp.under("fusion_encoder.", fusion.state_dict()),
        **vlp.common_heads(),
    }
    ours = vlp.model(fusion=SkipConnectedFusion(**SIZES, num_layers=3, stride=2), **clip)
    report = load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")
    assert report.layout == "mplug"
    batch, image = vlp.batch(), vlp.image_states()
    states = vlp.run_layers(text, text.embeddings(batch.input_ids), range(1))
    torch.testing.assert_close(ours.encoders.encode_text(batch).embeds, states, **EXACT)
    expected = vlp.run_layers(fusion, states, range(2, 4), image)
    expected = vlp.run_layers(fusion, torch.cat([image, expected], dim=1), range(4, 5))[:, image.shape[1] :]
    torch.testing.assert_close(vlp.fused(ours, states, image), expected, **EXACT)
    check_common(ours, vit, tensors)
    assert "fusion_encoder.encoder.layer.4.crossattention.self.query.weight" in report.unexpected


def test_fusion_with_another_stride_is_refused_with_the_setting(tmp_path: Path) -> None:
    tensors = vlp.albef(randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 2), fusion_start=1)
    ours = vlp.model(fusion=SkipConnectedFusion(**SIZES, num_layers=1, stride=1))
    load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")  # one layer is a reading layer in both
    ours = vlp.model(text_layers=1, fusion=SkipConnectedFusion(**SIZES, num_layers=2, stride=1))
    tensors = vlp.albef(randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 3), fusion_start=1)
    with pytest.raises(CheckpointError, match=r"has fusion\.layers\.1\..*Use a fusion whose layers all read the image"):
        load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")


def test_fusion_in_the_order_of_a_vit_is_refused_with_the_setting(tmp_path: Path) -> None:
    tensors = vlp.albef(randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 2), fusion_start=1)
    ours = vlp.model(fusion=CrossAttentionFusion(**SIZES, num_layers=1, norm_first=True))
    with pytest.raises(CheckpointError, match=r"has no fusion\.norm\.weight, .* Set norm_first: false"):
        load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")


def test_a_part_that_the_model_does_without_is_reported(tmp_path: Path) -> None:
    tensors = vlp.albef(randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 2), fusion_start=1)
    ours = vlp.model(fusion=CrossAttentionFusion(**SIZES, num_layers=1))
    del ours.heads["mlm"]
    report = load_pretrained(ours, saved(tensors, tmp_path / "a.pth"), part="model")
    assert "text_encoder.cls.predictions.transform.dense.weight" in report.unexpected


def test_one_tower_of_a_whole_model_is_taken_by_its_prefix(tmp_path: Path) -> None:
    vit, text = randomised(vlp.tower()), vlp.bert(hf.BertLMHeadModel, 2)
    file = saved(vlp.albef(vit, text, fusion_start=1), tmp_path / "a.pth")
    ours = vlp.model()
    report = load_pretrained(ours.backbone.vit, file, part="model.backbone")
    torch.testing.assert_close(ours.backbone(images()).embeds, vit(images())[0], **EXACT)
    assert report.layout == "timm-vit" and "text_proj.weight" in report.unexpected
    report = load_pretrained(ours.text_encoder, file, part="model.text_encoder", prefix="text_encoder.")
    assert report.layout == "hf-bert" and "text_encoder.bert.encoder.layer.1.output.dense.bias" in report.unexpected
