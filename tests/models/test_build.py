"""From dicts to a model: widths are filled in, and lengths and widths must meet."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bus_toolkit import build_model
from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.testing import tiny_batch, tiny_model

CONFIG: dict[str, Any] = {
    "type": "VLPModel",
    "tokenizer": {"type": "CorpusTokenizer", "max_length": 12},
    "text_encoder": {
        "type": "BertTextEncoder",
        "num_layers": 1,
        "hidden_size": 24,
        "num_heads": 4,
        "max_text_length": 16,
    },
    "backbone": {
        "type": "mmpretrain.VisionTransformer",
        "arch": {"embed_dims": 32, "num_layers": 3, "num_heads": 4, "feedforward_channels": 64},
        "img_size": 32,
        "patch_size": 8,
        "out_type": "raw",
    },
    "selectors": [{"type": "TSPS", "blocks": [2]}],
    "decoder": {"type": "PAD", "num_heads": 4},
    "fusion": {"type": "CrossAttentionFusion", "num_layers": 1, "num_heads": 4},
    "heads": {"itc": {"type": "ITCHead"}, "itm": {"type": "ITMHead"}, "ptm": {"type": "PatchTextHead"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config


def test_widths_vocabulary_and_patch_size_come_from_the_other_parts() -> None:
    model = build_model(CONFIG)
    assert model.backbone.selectors[0].text_proj.in_features == 24
    assert model.backbone.selectors[0].text_proj.out_features == 32
    assert model.heads["ptm"].patch_size == 8
    assert model.text_encoder.bert.config.vocab_size == model.tokenizer.vocab_size


def test_contrast_runs_first_whatever_the_order_in_the_yaml() -> None:
    model = build_model(changed("heads", {"itm": {"type": "ITMHead"}, "itc": {"type": "ITCHead"}}))
    assert list(model.heads) == ["itc", "itm"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tokenizer.max_length", 20, "model.tokenizer.max_length: must be at most 16, the positions of"),
        ("decoder.text_in_memory", True, "text and visual tokens must be equally wide, got 24 and 32"),
        ("backbone.patch_size", 7, "patches 7 pixels apart do not tile an image of"),
        ("conditioning", {"mode": "honest"}, "model.conditioning.mode: must be one of"),
        ("momentum", {"decay": 1.0}, r"model.momentum.decay: must be in \[0, 1\)"),
        ("decoder.num_heads", 7, "model.decoder: PAD refuses its arguments"),
        ("selectors", [{"type": "TSPS", "blocks": [4]}], "the backbone has 3 blocks, got"),
        (
            "text_decoder",
            {"type": "BertTextDecoder", "num_heads": 4, "cross_attention": False},
            "model.text_decoder: must read the image, got a BertTextDecoder that reads none",
        ),
    ],
)
def test_what_does_not_fit_is_reported_with_its_yaml_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(BusError, match=message):
        build_model(changed(path, value))


def test_several_mistakes_are_one_error() -> None:
    config = changed("fusion", None)
    config["heads"]["itc"]["queue_size"] = 4
    with pytest.raises(ConfigError) as caught:
        build_model(config)
    assert len(caught.value.problems) == 2


def test_a_patch_text_head_that_no_selector_listens_to_takes_no_part_and_is_announced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    selectors = [{"type": "Random", "blocks": [2]}]
    model = tiny_model({"itc": {"type": "ITCHead"}, "ptm": {"type": "PatchTextHead"}}, selectors=selectors).train()
    (record,) = caplog.records
    assert record.getMessage() == (
        "model.heads.ptm: PatchTextHead trains supervised scores, and no selector here has them, got RandomSelector. "
        "It takes no part in a training. Choose a selector that is supervised, such as TSPS, add model.prior: {type: "
        "TextScorePrior}, or remove the head: model.heads.ptm=null."
    )
    assert "loss_itc" in model.loss(*tiny_batch()) and "loss_ptm" not in model.loss(*tiny_batch())
    with pytest.raises(ConfigError, match=r"model.heads: ptm trains supervised scores, and no selector has any\. Add"):
        tiny_model({"ptm": {"type": "PatchTextHead"}}, selectors=selectors)
    caplog.clear()
    tiny_model({"ptm": {"type": "PatchTextHead"}})
    assert not caplog.text
