"""A language model of captions without images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.caption_lm import CaptionLanguageModel
from tests.tiny_model import LetterTokenizer, sample, tiny_reference

RECIPE = Path(__file__).parents[2] / "registry_configs" / "prior" / "reference_scenes_tiny.yaml"
WRITER = {"type": "BertTextDecoder", "text_dim": 16, "num_layers": 1, "num_heads": 4, "cross_attention": False}
CONFIG: dict[str, Any] = {
    "type": "CaptionLanguageModel",
    "tokenizer": {"type": "CorpusTokenizer", "max_length": 12},
    "text_decoder": WRITER,
}


def model() -> CaptionLanguageModel:
    return CaptionLanguageModel(tokenizer=LetterTokenizer(), text_decoder=tiny_reference())


def test_the_loss_is_the_mean_over_all_tokens_and_padding_changes_nothing() -> None:
    lm, texts = model().eval(), [sample("abc", 0), sample("d", 1)]
    alone = [lm.forward(data_samples=[s], mode="loss")["loss_lm"] for s in texts]
    # [CLS] a b c [SEP] has four tokens to predict, [CLS] d [SEP] two.
    torch.testing.assert_close(lm.loss(texts)["loss_lm"], (4 * alone[0] + 2 * alone[1]) / 6)


def test_predictions_are_the_log_probabilities_of_the_tokens_of_each_caption() -> None:
    lm = model().eval()
    one, two = lm.forward(data_samples=[sample("abc", 0), sample("d", 1)], mode="predict")
    assert [len(one.caption_log_probs), len(two.caption_log_probs)] == [4, 2]
    logits = lm.text_decoder(lm.tokenize([two]))
    expected = logits.log_softmax(dim=-1)[0, 0, 5 + 3]  # d is the fourth letter
    assert two.caption_log_probs[0] == pytest.approx(expected.item(), abs=1e-5)


def test_it_learns_a_language_up_to_what_cannot_be_known() -> None:
    """Two captions, equally often: the first letter costs ln 2, the other three and [SEP] nothing."""
    lm, texts = model(), [sample("abcd", 0), sample("wxyz", 1)]
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = lm.loss(texts)["loss_lm"]
        loss.backward()
        optimizer.step()
    assert math.log(2) / 5 - 1e-4 < loss.item() < math.log(2) / 5 + 0.02
    first, *others = lm.eval().predict(texts)[0].caption_log_probs
    assert first == pytest.approx(-math.log(2), abs=0.1)
    assert min(others) > -0.05


def test_the_preprocessor_of_the_runner_goes_without_images() -> None:
    lm = model()
    data = lm.data_preprocessor({"data_samples": [sample("abc", 0)]}, True)
    assert set(lm._run_forward(data, mode="loss")) == {"loss_lm"}


def test_it_is_built_from_a_config() -> None:
    lm = build_model(CONFIG)
    assert lm.text_decoder.bert.config.vocab_size == lm.tokenizer.vocab_size
    with pytest.raises(ConfigError, match="text_decoder: must read no image, got a BertTextDecoder.*: false"):
        build_model({**CONFIG, "text_decoder": {**WRITER, "cross_attention": True}})
    with pytest.raises(ConfigError, match="max_length: must be at most 8, the positions of model.text_decoder, got 12"):
        build_model({**CONFIG, "text_decoder": {**WRITER, "max_text_length": 8}})


def test_mistakes_in_its_config_are_reported_with_their_path() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(
            RECIPE,
            {
                "model.text_decoder": {"_delete_": True, "type": "BertTextDecoder", "depth": 2},
                "model.tokenizer.type": "Words",
            },
        )
    text = str(caught.value)
    assert "model.tokenizer.type: no tokenizer named 'Words'." in text
    assert "model.text_decoder.depth: BertTextDecoder has no argument 'depth'." in text
    # No other part gives it a width.
    assert "model.text_decoder.text_dim: BertTextDecoder needs this argument, got nothing." in text
