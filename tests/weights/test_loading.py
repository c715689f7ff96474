"""Weights that do not fit: what differs and what to do is said, and the module stays to the bit as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from mmpretrain.models.utils import resize_pos_embed
from safetensors.torch import save_file
from torch import nn

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.errors import CheckpointError
from bus_toolkit.text_encoders.bert import BertTextEncoder
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.tower_names import in_names_of
from tests.weights.sources import BERT, DEPTH, HEADS, HF, VOCABULARY, WIDTH, randomised, saved, state_of, unchanged, vit


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def refused(module: Any, path: str | Path, said: str, **settings: Any) -> None:
    """Check that loading fails as ``said`` and changes nothing."""
    before = state_of(module)
    with pytest.raises(CheckpointError, match=said):
        load_pretrained(module, path, part="model.backbone", **settings)
    assert unchanged(module, before)


def hf_vit(folder: Path, **settings: Any) -> Path:
    randomised(hf.ViTModel(hf.ViTConfig(**{**HF, **settings}), add_pooling_layer=False)).save_pretrained(folder)
    return folder


def test_another_width_depth_and_patch_size_are_reported_at_once(tmp_path: Path) -> None:
    hf_vit(tmp_path, hidden_size=24, num_hidden_layers=3, patch_size=16)
    said = (
        rf"model\.backbone: {tmp_path} \(layout hf-vit\) does not fit: width 24, got a model with {WIDTH}; layers 3, "
        rf"got a model with {DEPTH}; patch size 16, got a model with 8\. Give the model these sizes, or take weights"
    )
    refused(vit(), tmp_path, said)


@pytest.mark.parametrize("layers", [DEPTH - 1, DEPTH + 1])
def test_another_depth_is_refused_either_way(tmp_path: Path, layers: int) -> None:
    refused(vit(), hf_vit(tmp_path, num_hidden_layers=layers), f"layers {layers}, got a model with {DEPTH}")


def test_another_number_of_heads_is_refused_where_the_folder_tells_it(tmp_path: Path) -> None:
    refused(
        vit(), hf_vit(tmp_path, num_attention_heads=2), f"does not fit: 2 attention heads, got a model with {HEADS}"
    )


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are no weights")
    refused(vit(), tmp_path / "notes.txt", r"notes\.txt: not a checkpoint\. Give the path of a \.pth or \.safetensors")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    saved(vit().state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(vit(), path, r"a\.pth: not a readable checkpoint .* It may be torn")


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(vit().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(vit(), path, r"a\.safetensors: not a readable safetensors file")


def test_garbage_under_the_name_of_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(os.urandom(64))
    refused(vit(), tmp_path / "a.safetensors", "not a readable safetensors file")


def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    held = {"state_dict": vit().state_dict(), "hook": Attack(tmp_path / "hit")}
    torch.save(held, tmp_path / "a.pth")
    refused(vit(), tmp_path / "a.pth", "not loaded, because reading it could run code")
    assert not (tmp_path / "hit").exists()
    load_pretrained(vit(), tmp_path / "a.pth", part="model.backbone", trusted=True)
    assert (tmp_path / "hit").exists()


def test_nothing_recognised_names_what_is_there_and_what_is_known(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.ones(1), "fc.bias": torch.ones(1)}, tmp_path / "a.safetensors")
    said = (
        r"nothing of .* is recognised; its names begin with conv1, fc\. Known .* layouts identity, hf-clip, .*timm-vit"
    )
    refused(vit(), tmp_path / "a.safetensors", said)


def test_a_missing_tensor_is_an_error(tmp_path: Path) -> None:
    tensors = vit().state_dict()
    del tensors["layers.1.attn.proj.weight"]
    refused(vit(), saved(tensors, tmp_path / "a.pth"), r"it has no layers\.1\.attn\.proj\.weight, which the model has")


def test_two_of_three_projections_are_not_enough(tmp_path: Path) -> None:
    source = hf.ViTModel(hf.ViTConfig(**HF), add_pooling_layer=False)
    tensors = dict(in_names_of(source.state_dict()))
    del tensors["encoder.layer.0.attention.attention.key.weight"]
    refused(vit(), saved(tensors, tmp_path / "a.pth"), r"it has no layers\.0\.attn\.qkv\.weight, which the model has")


@pytest.mark.parametrize(
    ("theirs", "ours", "advice"),
    [
        ({"pre_norm": True}, {}, r"has pre_norm\.\w+.* Set pre_norm: true"),
        ({}, {"pre_norm": True}, r"has no pre_norm\.\w+.* [Ss]et pre_norm: false"),
        ({}, {"layer_scale_init_value": 0.1}, r"has no layers\.0\.attn\.gamma1.* Set layer_scale_init_value: 0"),
        ({"qkv_bias": False}, {}, r"has no layers\.0\.attn\.qkv\.bias.* Set qkv_bias: false"),
        ({"with_cls_token": False}, {}, r"has no cls_token, .* Set with_cls_token: false"),
        ({}, {"with_cls_token": False}, r"has cls_token, .* [Ss]et with_cls_token: true"),
    ],
)
def test_what_shows_in_the_tensors_is_reported_as_a_setting(
    tmp_path: Path, theirs: dict[str, Any], ours: dict[str, Any], advice: str
) -> None:
    refused(vit(**ours), saved(vit(**theirs).state_dict(), tmp_path / "a.pth"), advice)


def test_a_tower_that_computes_otherwise_than_clip_is_refused(tmp_path: Path) -> None:
    source = randomised(hf.CLIPVisionModel(hf.CLIPVisionConfig(**HF)))
    source.save_pretrained(tmp_path)
    refused(
        vit(pre_norm=True),
        tmp_path,
        r"epsilon 1e-05, got a model with 1e-06; its activation is quick_gelu, got a model with GELU\. A model for "
        r"this layout: pre_norm: true, norm_cfg: \{type: LN, eps: 1e-5\}, .*QuickGELU",
    )
    tensors = saved(source.state_dict(), tmp_path / "a.pth")  # no config says that the activation is OpenAI's
    refused(vit(pre_norm=True), tensors, "epsilon 1e-05, got a model with 1e-06")


def test_an_activation_that_no_config_states_is_warned_of(tmp_path: Path) -> None:
    source = randomised(hf.CLIPVisionModel(hf.CLIPVisionConfig(**HF)))
    tower = vit(pre_norm=True, norm_cfg={"type": "LN", "eps": 1e-5})
    report = load_pretrained(tower, saved(source.state_dict(), tmp_path / "a.pth"), part="model.backbone")
    (warning,) = report.warnings
    assert "best known weights of this layout were trained with the activation quick_gelu" in warning
    assert warning in report.summary()


def test_what_no_tensor_shows_is_reported(tmp_path: Path) -> None:
    randomised(hf.ViTModel(hf.ViTConfig(**HF, hidden_act="gelu_new"))).save_pretrained(tmp_path)
    report = load_pretrained(vit(), tmp_path, part="model.backbone")
    assert ["activation gelu_new, the model has another" in report.warnings[0]] == [True]
    assert "epsilon 1e-12, the model's 1e-06" in report.warnings[1]


def test_an_unknown_grid_that_is_not_square_is_refused_unless_it_is_given(tmp_path: Path) -> None:
    source = vit(img_size=(32, 64))
    path = saved(source.state_dict(), tmp_path / "a.pth")
    refused(vit(), path, "a grid that is not known and not square, 32 rows, the model of 4 x 4 patches")
    module = vit()
    load_pretrained(module, path, part="model.backbone", grid=[4, 8])
    assert torch.equal(module.pos_embed, resize_pos_embed(source.pos_embed, (4, 8), (4, 4), "bicubic", 1))


def test_a_grid_that_may_be_one_of_two_is_refused_unless_it_is_given(tmp_path: Path) -> None:
    source, module = vit(img_size=64), vit(img_size=(32, 128))
    path = saved(source.state_dict(), tmp_path / "a.pth")
    refused(
        module, path, r"as many positions as 4 x 16 patches, and as a square image; .* write grid: \[4, 16\] or the"
    )
    load_pretrained(module, path, part="model.backbone", grid=[8, 8])
    assert torch.equal(module.pos_embed, resize_pos_embed(source.pos_embed, (8, 8), (4, 16), "bicubic", 1))
    load_pretrained(module, path, part="model.backbone", grid=[4, 16])
    assert torch.equal(module.pos_embed, source.pos_embed)


def test_a_tower_of_our_own_checkpoint_and_of_a_folder_bring_their_grid(tmp_path: Path) -> None:
    source = TokenReducingBackbone(vit(img_size=(32, 128)))
    expected = resize_pos_embed(source.vit.pos_embed, (4, 16), (8, 8), "bicubic", 1)
    model = nn.ModuleDict({"backbone": source})
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "run.pth")
    module = vit(img_size=64)
    report = load_pretrained(module, tmp_path / "run.pth", part="model.backbone")
    assert torch.equal(module.pos_embed, expected) and report.resized == [
        "pos_embed (1, 65, 16) to as many of another grid"
    ]

    oblong = hf.ViTModel(hf.ViTConfig(**{**HF, "image_size": (32, 128)}))
    nn.init.normal_(oblong.embeddings.position_embeddings)
    oblong.save_pretrained(tmp_path / "hf")
    load_pretrained(module, tmp_path / "hf", part="model.backbone")
    table = oblong.embeddings.position_embeddings
    assert torch.equal(module.pos_embed, resize_pos_embed(table, (4, 16), (8, 8), "bicubic", 1))


def test_a_layout_that_it_has_not_is_refused(tmp_path: Path) -> None:
    folder = hf_vit(tmp_path)
    refused(vit(), folder, "does not have the layout timm-vit .names as patch_embed.proj.weight", layout="timm-vit")
    refused(vit(), folder, "the layout hf-bert is of a bert-encoder, which this part is not", layout="hf-bert")
    refused(vit(), folder, "no layout named 'hf-vti'. Did you mean 'hf-vit'", layout="hf-vti")
    refused(vit(), folder, "no tensor of .* begins with 'tower.'", prefix="tower.")


def test_several_towers_ask_for_a_prefix(tmp_path: Path) -> None:
    tensors = {f"{tower}.{name}": tensor for tower in "ab" for name, tensor in vit().state_dict().items()}
    path = saved(tensors, tmp_path / "a.pth")
    refused(vit(), path, r"holds several such parts, under a\., b\.")
    assert load_pretrained(vit(), path, part="model.backbone", prefix="b.").unexpected[0].startswith("a.")


def text_encoder(**settings: Any) -> BertTextEncoder:
    sizes = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_layers": DEPTH, "hidden_size": WIDTH, "num_heads": HEADS}
    return BertTextEncoder(**{**sizes, "max_text_length": 12, **settings})


def test_another_vocabulary_and_too_few_positions_are_refused(tmp_path: Path) -> None:
    randomised(hf.BertModel(hf.BertConfig(**BERT))).save_pretrained(tmp_path)
    refused(text_encoder(vocab_size=VOCABULARY + 1), tmp_path, "another vocabulary; use the tokenizer that belongs to")
    refused(text_encoder(max_text_length=21), tmp_path, "knows fewer positions; lower max_text_length")


def test_a_text_encoder_deeper_than_the_source_is_refused(tmp_path: Path) -> None:
    randomised(hf.BertModel(hf.BertConfig(**BERT))).save_pretrained(tmp_path)
    refused(text_encoder(num_layers=3), tmp_path, "layers 2, got a model with 3")


def test_weights_that_the_model_shares_must_agree(tmp_path: Path) -> None:
    from bus_toolkit.text_decoders.bert import BertTextDecoder

    source = randomised(hf.BertLMHeadModel(hf.BertConfig(**BERT, is_decoder=True, tie_word_embeddings=False)))
    path = saved(source.state_dict(), tmp_path / "a.pth")
    sizes = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_layers": DEPTH, "text_dim": WIDTH, "num_heads": HEADS}
    module = BertTextDecoder(**sizes, max_text_length=12, cross_attention=False)
    refused(module, path, "differ in it and are one tensor in the model")


def test_the_report_is_short_for_the_log_and_full_in_a_file(tmp_path: Path) -> None:
    report = load_pretrained(vit(), hf_vit(tmp_path), part="model.backbone")
    assert report.summary().startswith(f"model.backbone: {len(report.loaded)} tensors from {tmp_path} (layout hf-vit).")
    report.write(tmp_path / "report.txt")
    text = (tmp_path / "report.txt").read_text()
    assert text.startswith(report.summary()) and all(f"  {name}\n" in text for name in report.loaded)


def test_missing_statistics_of_batch_norms_are_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    state = {name: value for name, value in module.state_dict().items() if "running" not in name}
    refused(module, saved(state, tmp_path / "a.pth"), "it has no 1.running_mean, 1.running_var, which the model has")
