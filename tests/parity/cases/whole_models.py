"""Whole vision-language models of others: each part from their weights, loaded by their layout."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
from bus_toolkit.weights.loading import load_pretrained
from tests.parity.comparison import Comparison, Measured
from tests.weights import vlp_sources as vlp
from tests.weights.sources import images, randomised, saved

SEEDS = range(5)
SIZES = {"text_dim": vlp.WIDTH, "embed_dim": vlp.WIDTH, "num_heads": vlp.HEADS}


def _loaded(ours: Any, tensors: Mapping[str, Tensor]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        load_pretrained(ours, saved(dict(tensors), Path(folder) / "weights.pth"), part="model")
    return ours.eval()


def _albef_of_torchmultimodal() -> Measured:
    """Image, text and fused states of its ``ALBEFModel``."""
    from torchmultimodal.models.albef.image_encoder import ALBEFVisionEncoder
    from torchmultimodal.models.albef.model import ALBEFModel
    from torchmultimodal.models.albef.multimodal_encoder import ALBEFMultimodalEncoder
    from torchmultimodal.modules.encoders.bert_text_encoder import bert_text_encoder

    width, heads, hidden = vlp.WIDTH, vlp.HEADS, 4 * vlp.WIDTH
    pairs = []
    for seed in SEEDS:
        tower = ALBEFVisionEncoder(32, 8, 2, heads, width, 64)
        text = bert_text_encoder(
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=heads,
            intermediate_size=hidden,
            vocab_size=vlp.VOCABULARY,
            max_position_embeddings=20,
            layer_norm_eps=1e-12,
        )
        # Its default epsilon is ALBEF's 1e-12; ours in fusion is 1e-5, as the layout's note says.
        fusion = ALBEFMultimodalEncoder(width, 2, heads, hidden, layer_norm_eps=1e-5)
        theirs = randomised(ALBEFModel(tower, text, fusion), seed)
        ours = vlp.model(text_layers=2, fusion=CrossAttentionFusion(**SIZES, num_layers=2))
        _loaded(ours, theirs.state_dict())
        batch = vlp.batch()
        with torch.no_grad():
            expected = theirs(images(), batch.input_ids, batch.attention_mask.long())
            image, words = ours.backbone(images()).embeds, ours.encoders.encode_text(batch).embeds
            pairs += [(image, expected.image_embeddings), (words, expected.text_embeddings)]
            pairs.append((vlp.fused(ours, words, image), expected.multimodal_embeddings))
    return Measured.numbers(pairs)


_BLIP_VISION = (
    ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
    ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
    ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
    ("vision_model.encoder.layers.", "visual_encoder.blocks."),
    ("vision_model.post_layernorm", "visual_encoder.norm"),
    ("self_attn.projection", "attn.proj"),
    ("self_attn.qkv", "attn.qkv"),
    ("layer_norm", "norm"),
)


def _as_salesforce_names_them(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo what transformers' conversion script of BLIP does to the names."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("vision_model."):
            for theirs, salesforce in _BLIP_VISION:
                name = name.replace(theirs, salesforce)
        renamed[name] = tensor.clone()
    return renamed


def _blip_of_transformers(part: str) -> Measured:
    """Image states, words alone, and the decoder reading the image, of its ``BlipForQuestionAnswering``."""
    import transformers as hf

    words = {
        "vocab_size": vlp.VOCABULARY + 2,
        "hidden_size": vlp.WIDTH,
        "encoder_hidden_size": vlp.WIDTH,
        "intermediate_size": 4 * vlp.WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": vlp.HEADS,
        "max_position_embeddings": 20,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "projection_dim": 16,
    }
    sizes = {
        "hidden_size": vlp.WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": vlp.HEADS,
    }
    seen = {**sizes, "image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6, "hidden_act": "gelu"}
    pairs = []
    for seed in SEEDS:
        config = hf.BlipConfig(text_config=words, vision_config=seen, projection_dim=16)
        theirs = randomised(hf.BlipForQuestionAnswering(config), seed)
        tensors = {**_as_salesforce_names_them(theirs.state_dict()), **vlp.common_heads()}
        ours = _loaded(vlp.model(text_layers=2, decoder_layers=2), tensors)
        batch, image = vlp.batch(), vlp.image_states()
        mask = batch.attention_mask.long()
        with torch.no_grad():
            if part == "image":
                pairs.append((ours.backbone(images()).embeds, theirs.vision_model(images()).last_hidden_state))
            elif part == "words":
                expected = theirs.text_encoder(batch.input_ids, mask).last_hidden_state
                pairs.append((ours.encoders.encode_text(batch).embeds, expected))
            else:
                logits = theirs.text_decoder(batch.input_ids, mask, encoder_hidden_states=image).logits
                pairs.append((ours.text_decoder(batch, image), logits[..., : vlp.VOCABULARY]))
    return Measured.numbers(pairs)


CLOSE = 5e-5
COMPARISONS = (
    Comparison("ALBEF: image, text and fused states", "torchmultimodal-nightly", _albef_of_torchmultimodal, CLOSE),
    Comparison("BLIP: image states", "transformers", lambda: _blip_of_transformers("image"), CLOSE),
    Comparison("BLIP: words alone", "transformers", lambda: _blip_of_transformers("words"), CLOSE),
    Comparison("BLIP: decoder reading an image", "transformers", lambda: _blip_of_transformers("decoder"), CLOSE),
)
