"""What a single-stream model cannot hold, and what only it can, is refused when a model is built."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.testing import tiny, tiny_model
from tests.fusion.test_single_stream import STREAM

ITM = {"itm": {"type": "ITMHead"}}
BEIT = {**tiny.VISION_TRANSFORMER, "type": "mmpretrain.BEiTViT"}
POOLED = {**tiny.VISION_TRANSFORMER, "with_cls_token": False}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {**STREAM, "decoder": {"type": "PAD", "num_heads": 4}},
            "model.decoder: SingleStreamFusion reads the patches.*PatchAbs",
        ),
        ({**STREAM, "backbone": BEIT}, "model.backbone: words have no place among relative positions, got BEiTViT"),
        ({**STREAM, "backbone": POOLED}, "model.backbone: the image needs a class token, got VisionTransformer"),
        (
            {
                **STREAM,
                "selectors": [],
                "backbone": {"type": "mmpretrain.ResNet", "depth": 18, "img_size": 64},
                "text_encoder": {**STREAM["text_encoder"], "hidden_size": 512},
            },
            "model.backbone: padding among the words must be hidden inside the blocks, got ResNet",
        ),
        (
            {"text_encoder": STREAM["text_encoder"]},
            "model.text_encoder.num_layers: without layers each word is encoded alone.*got num_layers 0",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_model(ITM, **parts)


def test_momentum_and_heads_of_towers_are_refused_together() -> None:
    heads = {**ITM, "itc": {"type": "ITCHead", "feature_dim": 8}, "caption": {"type": "CaptionHead"}}
    with pytest.raises(ConfigError) as refused:
        tiny_model(heads, **STREAM, momentum={"decay": 0.9})
    assert "model.momentum: its copies are of towers" in str(refused.value)
    assert "model.heads.caption: CaptionHead reads visual tokens that no text has touched" in str(refused.value)
