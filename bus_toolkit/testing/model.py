"""A whole model at width 32, and a batch for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bus_toolkit.data.transforms.pack import PackRegions
from bus_toolkit.models.build import build_caption_lm, build_vlp_model
from bus_toolkit.models.caption_lm import CaptionLanguageModel
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.testing import tiny

_CAPTIONS = ("a small red circle above a large blue square", "a large green star", "a small white triangle")
_LAYERS = {"num_layers": 1, "num_heads": 4}
_PARTS: dict[str, Any] = {
    "tokenizer": {"type": "CorpusTokenizer", "max_length": 16},
    "text_encoder": {"type": "BertTextEncoder", "hidden_size": tiny.WIDTH, "max_text_length": 16, **_LAYERS},
    "backbone": tiny.VISION_TRANSFORMER,
    "selectors": [{"type": "TSPS", "blocks": [2], "keep_ratio": 0.5}],
    "decoder": {"type": "PAD", **_LAYERS},
    "fusion": {"type": "CrossAttentionFusion", **_LAYERS},
    "text_decoder": {"type": "BertTextDecoder", "max_text_length": 16, **_LAYERS},
}

_SHORT = {"beam_size": 1, "max_length": 4}
TINY_HEADS: dict[str, dict[str, Any]] = {
    "itc": {"type": "ITCHead", "feature_dim": 16},
    "itm": {"type": "ITMHead"},
    "mlm": {"type": "MLMHead"},
    "prefix_lm": {"type": "PrefixLMHead"},
    "ptm": {"type": "PatchTextHead"},
    "vqa": {"type": "VQAHead", "search": _SHORT},
    "caption": {"type": "CaptionHead", "search": _SHORT},
    "grounding": {"type": "GroundingHead"},
    "classification": {"type": "ClassificationHead"},
}


def tiny_model(heads: Mapping[str, Mapping[str, Any]], *, seed: int = 0, **parts: Any) -> VLPModel:
    """Return a model with these heads; ``parts`` (nodes as in a YAML) replace TSPS, PAD and the others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_vlp_model(**{**_PARTS, **parts}, heads=heads)


def tiny_caption_lm() -> CaptionLanguageModel:
    """Return a model of captions without images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = {**_PARTS["text_decoder"], "text_dim": tiny.WIDTH, "cross_attention": False}
        return build_caption_lm(tokenizer=_PARTS["tokenizer"], text_decoder=decoder)


def tiny_batch() -> tuple[Tensor, list[Any]]:
    """Return three images (3, 3, 32, 32) and their data samples, with captions, boxes, labels and answers."""
    samples = [_sample(number, text) for number, text in enumerate(_CAPTIONS)]
    return tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), samples


def _sample(number: int, text: str) -> Any:
    packed = PackRegions().transform(
        {
            "img": np.zeros((tiny.SIDE, tiny.SIDE, 3), dtype=np.uint8),
            "img_path": f"{number}.png",
            "text": text,
            "image_id": number,
            "text_id": number,
            "gt_label": number % 2,
            "gt_bboxes": np.array([[0, 0, 16, 16], [20, 20, 30, 30]], dtype=np.float32),
            "named": np.array([True, False]),
            "gt_answer": ["red", "blue"],
            "gt_answer_weight": [0.7, 0.3],
        }
    )
    sample = packed["data_samples"]
    sample.set_field([text, _CAPTIONS[0]], "references", dtype=None)  # as CaptionedImages does
    return sample
