"""Small checkpoints of ALBEF, BLIP, mPLUG and TorchMultimodal under their public names, and a model of ours.

The reference outputs come from transformers' BertLayer, of which their text layers are copies.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
import transformers as hf
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.decoders.identity import IdentityDecoder
from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.heads.mlm import MLMHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step.parts import Parts
from bus_toolkit.structures import TextTokens, TokenBatch, VisualTokens
from bus_toolkit.text_decoders.bert import BertTextDecoder
from bus_toolkit.text_encoders.bert import BertTextEncoder
from bus_toolkit.weights.mapping import from_target
from bus_toolkit.weights.table_files import layouts
from tests.tiny_model import LETTERS, LetterTokenizer
from tests.weights.sources import randomised

WIDTH, HEADS, VOCABULARY, PATCHES = 32, 4, 50, 16
QUICK = {"act_cfg": {"type": "mmpretrain.QuickGELU"}}


def tower(**settings: Any) -> Any:
    arch = {"embed_dims": WIDTH, "num_layers": 2, "num_heads": HEADS, "feedforward_channels": 64}
    return VisionTransformer(arch=arch, img_size=32, patch_size=8, out_type="raw", **settings)


def model(*, text_layers: int = 1, fusion: nn.Module | None = None, decoder_layers: int = 1, **vit: Any) -> VLPModel:
    """Return a model without selectors, every parameter random."""
    sizes = {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_heads": HEADS, "max_text_length": 12}
    fused = fusion or CrossAttentionFusion(text_dim=WIDTH, embed_dim=WIDTH, num_layers=1, num_heads=HEADS)
    heads = {
        "itc": ITCHead(embed_dim=WIDTH, text_dim=WIDTH, feature_dim=16),
        "itm": ITMHead(text_dim=WIDTH),
        "mlm": MLMHead(text_dim=WIDTH, vocabulary=replace(LETTERS, size=VOCABULARY)),
    }
    parts = Parts(
        tokenizer=LetterTokenizer(),
        text_encoder=BertTextEncoder(**sizes, num_layers=text_layers, hidden_size=WIDTH),  # type: ignore[arg-type]
        backbone=TokenReducingBackbone(tower(**vit)),
        decoder=IdentityDecoder(),
        fusion=fused,
        text_decoder=BertTextDecoder(**sizes, text_dim=WIDTH, num_layers=decoder_layers),  # type: ignore[arg-type]
    )
    return randomised(VLPModel(parts, heads, momentum={}), seed=3)


def bert(cls: type, layers: int, *, vocabulary: int = VOCABULARY, seed: int = 11) -> Any:
    """Return a BERT whose layers all have cross-attention."""
    config = hf.BertConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=20,
        is_decoder=True,
        add_cross_attention=True,
        use_cache=False,
        tie_word_embeddings=cls is not hf.BertModel,
    )
    return randomised(cls(config, add_pooling_layer=False) if cls is hf.BertModel else cls(config), seed)


def batch() -> TokenBatch:
    ids = torch.randint(5, VOCABULARY, (2, 6), generator=torch.Generator().manual_seed(1))
    return TokenBatch(ids, torch.ones(2, 6, dtype=torch.bool))


def image_states() -> Tensor:
    return torch.randn(2, PATCHES + 1, WIDTH, generator=torch.Generator().manual_seed(2))


def run_layers(trunk: Any, states: Tensor, layers: range, image: Tensor | None = None) -> Tensor:
    """Run BERT layers under an empty mask, so that nothing is causal; with ``image`` they read it."""
    mask = torch.zeros(states.shape[0], 1, states.shape[1], states.shape[1])
    for index in layers:
        out = trunk.encoder.layer[index](states, mask, encoder_hidden_states=image)
        states = out if torch.is_tensor(out) else out[0]  # a tuple before transformers 5
    return states


def fused(ours: VLPModel, text: Tensor, image: Tensor) -> Tensor:
    """Return the text states after the fusion of our model."""
    mask = torch.ones(text.shape[:2], dtype=torch.bool)
    visual = VisualTokens(image, 1, (4, 4), [], torch.arange(PATCHES).expand(2, -1), None)
    return ours.encoders.fuse(TextTokens(text, text[:, 0], mask), visual).text


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor.clone() for name, tensor in tensors.items()}


def common_heads(seed: int = 21) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"vision_proj": (16, WIDTH), "text_proj": (16, WIDTH), "itm_head": (2, WIDTH)}
    heads = {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    heads |= {f"{name}.bias": torch.randn(shape[0], generator=generator) for name, shape in shapes.items()}
    return {**heads, "temp": torch.tensor(0.05), "image_queue": torch.zeros(16, 3), "queue_ptr": torch.zeros(1)}


def albef(vit: Any, text: Any, *, fusion_start: int) -> dict[str, Tensor]:
    """Return a pre-training checkpoint of salesforce/ALBEF (models/model_pretrain.py, vit.py, xbert.py)."""
    words = text.state_dict()
    for name in list(words):
        found = re.search(r"layer\.(\d+)\.crossattention", name)
        if found and int(found[1]) < fusion_start:
            del words[name]
    seen = from_target(vit.state_dict(), layouts()["timm-vit"].rules).tensors
    copies = {"visual_encoder_m.cls_token": seen["cls_token"], "text_proj_m.bias": torch.zeros(16)}
    return {**under("visual_encoder.", seen), **under("text_encoder.", words), **common_heads(), **copies}


def torchmultimodal(vit: Any, text: Any, *, fusion_start: int) -> dict[str, Tensor]:
    """Return a retrieval checkpoint of facebookresearch/multimodal (examples/albef/model.py)."""
    start = "model_with_similarity.albef_model."
    seen = from_target(vit.state_dict(), layouts()["torchvision-vit"].rules).tensors
    out = under(f"{start}vision_encoder.encoder.", seen)
    names = [
        ("crossattention.self.", "cross_attention."),
        ("crossattention.output.dense.", "cross_attention.output."),
        ("crossattention.output.LayerNorm.", "cross_attention_layernorm."),
        ("attention.self.", "attention."),
        ("attention.output.dense.", "attention.output."),
        ("attention.output.LayerNorm.", "attention_layernorm."),
        ("intermediate.dense.", "feedforward.model.0."),
        ("output.dense.", "feedforward.model.3."),
        ("output.LayerNorm.", "feedforward_layernorm."),
    ]
    for name, tensor in text.bert.state_dict().items():
        layer = re.match(r"encoder\.layer\.(\d+)\.(.+)", name)
        if layer is None:
            out[f"{start}text_encoder.{name.replace('LayerNorm', 'layer_norm')}"] = tensor
            continue
        number, rest = int(layer[1]), layer[2]
        theirs = next(rest.replace(ours, them) for ours, them in names if rest.startswith(ours))
        if number >= fusion_start:
            out[f"{start}multimodal_encoder.layer.{number - fusion_start}.{theirs}"] = tensor
        elif not rest.startswith("cross"):
            out[f"{start}text_encoder.encoder.layer.{number}.{theirs}"] = tensor
    heads = {n if n.startswith("itm") else f"model_with_similarity.{n}": t for n, t in common_heads().items()}
    return {**out, **heads, f"{start}text_encoder_m.embeddings.layer_norm.bias": torch.zeros(WIDTH)}
