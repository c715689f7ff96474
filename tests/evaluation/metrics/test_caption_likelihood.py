from __future__ import annotations

import math

import pytest

from bus_toolkit.evaluation import CaptionLikelihood


def test_all_tokens_count_alike():
    # Three tokens of one bit and one of four bits: 7 bits over 4 tokens.
    metric = CaptionLikelihood()
    metric.process(None, [{"caption_log_probs": [-math.log(2)] * 3}, {"caption_log_probs": [-4 * math.log(2)]}])
    metrics = metric.evaluate(2)
    assert metrics["caption/nll"] == pytest.approx(7 / 4 * math.log(2))
    assert metrics["caption/perplexity"] == pytest.approx(2 ** (7 / 4))


def test_a_model_that_predicts_no_captions_is_not_reported():
    metric = CaptionLikelihood()
    metric.process(None, [{}])
    assert metric.evaluate(1) == {}
