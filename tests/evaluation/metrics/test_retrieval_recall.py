import logging

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import RetrievalRecall

EYE = torch.eye(3)


def _sample(image, text, image_feats, text_feats, paired=None):
    fields = {
        "image_id": image,
        "text_id": text,
        "text": f"t{text}",
        "image_feats": image_feats,
        "text_feats": text_feats,
    }
    return fields if paired is None else fields | {"paired_image_feats": paired}


def _evaluate(samples, topk=(1, 2)):
    metric = RetrievalRecall(topk)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_any_caption_of_an_image_is_a_right_answer_and_each_caption_asks_for_its_image():
    samples = [
        _sample(10, 0, EYE[0], EYE[0]),
        _sample(10, 1, EYE[0], EYE[1]),
        _sample(20, 2, EYE[1], EYE[2]),
    ]
    # Image 10 finds text 0 first. Image 20 sees text 1 (of image 10) first, texts 0 and 2 tie at zero: its rank is 2.
    # Text 0 finds image 10; text 1 finds image 20 first; text 2 is equally far from both.
    metrics = _evaluate(samples)
    assert metrics["retrieval/i2t_R@1"] == 0.5
    assert metrics["retrieval/i2t_R@2"] == 0.5
    assert abs(metrics["retrieval/t2i_R@1"] - 1 / 3) < 1e-12
    assert metrics["retrieval/t2i_R@2"] == 1.0
    assert (metrics["retrieval/num_images"], metrics["retrieval/num_texts"]) == (2.0, 3.0)


def test_features_that_the_caption_gave_away_show_up_as_a_leak():
    samples = [_sample(i, i, EYE[(i + 1) % 3], EYE[i], paired=EYE[i]) for i in range(3)]
    metrics = _evaluate(samples)
    assert metrics["retrieval/i2t_R@1"] == 0.0
    assert metrics["retrieval/paired_i2t_R@1"] == metrics["retrieval/paired_t2i_R@1"] == 1.0
    assert metrics["retrieval/leak_R@1"] == 1.0


def test_the_same_features_leak_nothing():
    metrics = _evaluate([_sample(i, i, EYE[i], EYE[i], paired=EYE[i]) for i in range(3)])
    assert metrics["retrieval/leak_R@1"] == metrics["retrieval/leak_R@2"] == 0.0


def test_half_precision_features_are_accepted():
    assert _evaluate([_sample(i, i, EYE[i].bfloat16(), EYE[i].half()) for i in range(3)])["retrieval/t2i_R@1"] == 1.0


def test_a_model_without_features_is_kept_apart_from_a_bad_one(caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert _evaluate([{"image_id": 1, "text": "a"}]) == {}
    assert "RetrievalRecall: not reported. None of 1 samples has image_feats" in caplog.text


def test_no_key_looks_like_a_loss():
    metrics = _evaluate([_sample(i, i, EYE[i], EYE[i], paired=EYE[i]) for i in range(3)])
    assert not any("loss" in key for key in metrics)


@pytest.mark.parametrize("ks", [[0], [-1, 5], [1.5], [], [True]])
def test_a_k_that_counts_nothing_is_refused(ks):
    with pytest.raises(ConfigError, match=r"RetrievalRecall.topk: must be whole numbers of 1 or more, got \["):
        RetrievalRecall(topk=ks)
