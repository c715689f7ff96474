"""mmpretrain's multimodal models at width 32 for images of 32 x 32, as configs of its own, and data for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

import bus_toolkit.openmmlab  # noqa: F401 (registers ours)
from tests.models.openmmlab_tiny import vit

WORDS = "red blue green circle square star left right of a the is what colour both images show picture".split()
PLACES = [f"[unused{number}]" for number in range(339, 981)]  # with which BLIP's grounding writes places
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PLACES]
TSPS = {"type": "TSPS", "blocks": [2], "keep_ratio": 0.5}
ELIP = {"type": "ELIP", "blocks": [2, 3], "keep_ratio": [0.75, 0.5], "look_ahead": [2, 1]}
TRIPS = {"type": "TRIPS", "blocks": [2], "keep_ratio": 0.5}
EVIT = {"type": "EViT", "blocks": [2], "keep_ratio": 0.5}


def write_vocabulary(folder: Path) -> str:
    """Write a vocabulary of whole words as BERT's tokenizers read it; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return str(folder)


def bert(**settings: Any) -> dict[str, Any]:
    """Return the settings of BLIP's text transformer, without dropout."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 24,
        "model_type": "bert",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "add_type_embeddings": False,
        "vocab_size": len(TOKENS) + 2,  # [DEC] and [ENC] of BLIP's tokenizer
        "encoder_width": 32,
        "add_cross_attention": True,
        **settings,
    }


def plain(kind: str, vocabulary: str) -> dict[str, Any]:
    """Return the config of one of mmpretrain's models."""
    raw = vit(out_type="raw")
    tokenizer = {"type": "BlipTokenizer", "name_or_path": vocabulary}
    encoder = {"type": "XBertEncoder", "med_config": bert()}
    decoder = {"type": "XBertLMHeadDecoder", "med_config": bert()}
    neck = {"type": "Linear", "in_features": 32, "out_features": 16}
    return {
        "BlipRetrieval": {
            "vision_backbone": raw,
            "text_backbone": encoder,
            "vision_neck": neck,
            "text_neck": neck,
            "head": {"type": "ITCHead", "embed_dim": 16, "queue_size": 8},
            "multimodal_head": {"type": "ITMHead", "hidden_size": 32, "with_pooler": False},
            "topk": 2,
            "max_txt_len": 8,
        },
        "BlipVQA": {
            "vision_backbone": raw,
            "multimodal_backbone": encoder,
            "head": {"type": "VQAGenerationHead", "decoder": decoder, "inference_method": "generate"},
        },
        "BlipCaption": {
            "vision_encoder": raw,
            "decoder_head": {"type": "SeqGenerationHead", "decoder": decoder},
            "prompt": "a picture of ",
        },
        "BlipNLVR": {
            "vision_backbone": raw,
            "multimodal_backbone": {"type": "BertModel", "config": bert(nlvr=True), "add_pooling_layer": False},
        },
        "BlipGrounding": {
            "visual_encoder": raw,
            "text_encoder": {"type": "XBertEncoder", "med_config": bert()},
            "multimodal_encoder": encoder,
            "head": {
                "type": "GroundingHead",
                "decoder": decoder,
                "box_l1_loss_coeff": 4.0,
                "box_giou_loss_coeff": 2.0,
            },
        },
    }[kind] | {"type": kind, "tokenizer": tokenizer}


def aware(cfg: dict[str, Any], *selectors: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return the config of the text-aware version."""
    return {**cfg, "type": f"bus_toolkit.TextAware{cfg['type']}", "selectors": list(selectors), **settings}


def built(cfg: dict[str, Any], like: nn.Module | None = None) -> Any:
    """Build by mmpretrain's registry, in eval mode; with the weights of another model as far as they go.

    Matrices are larger than at their start, where all texts have almost the same [CLS].
    """
    torch.manual_seed(0)
    model = MODELS.build(Config({"_scope_": "mmpretrain", **cfg}))
    for parameter in model.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.2)
    if like is not None:
        model.load_state_dict(like.state_dict(), strict=False)
    model.eval()
    return model


def images(*shape: int) -> Tensor:
    """Return images (..., 3, 32, 32)."""
    return torch.randn(*shape, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def samples(*texts: str, **settings: Any) -> list[DataSample]:
    """Return data samples with everything that any of the models reads."""
    made = []
    for index, text in enumerate(texts):
        boxes = {"box": torch.tensor([0.0, 0.0, 16.0, 8.0]).numpy(), "img_shape": (32, 32)}
        answers = {"question": text, "gt_answer": ["red"], "gt_answer_weight": [1.0]}
        own = {"text": text, "gt_caption": text, "image_id": index, "is_matched": True, "gt_label": index % 2}
        made.append(DataSample(**(boxes | answers | own | settings)))
    return made
