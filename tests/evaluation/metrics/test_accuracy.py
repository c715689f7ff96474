import logging

import pytest
import torch

from bus_toolkit.evaluation import ClassificationAccuracy, ITMAccuracy

NAN = float("nan")


def _evaluate(metric, samples):
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def _pairs(*pairs):
    return [{"itm_positive": positive, "itm_negative": negative} for positive, negative in pairs]


def test_matching_accuracy_is_the_mean_over_both_classes():
    # Own captions: 3 of 4 right. Other captions: 1 of 4 right.
    metrics = _evaluate(ITMAccuracy(), _pairs((1.0, 2.0), (2.0, 1.0), (0.5, 0.1), (-1.0, -1.0)))
    assert metrics == {"itm/accuracy": 0.5, "itm/accuracy_positive": 0.75, "itm/accuracy_negative": 0.25}


@pytest.mark.parametrize("constant", [-3.0, 0.0, 3.0])
def test_a_constant_answer_reaches_one_half(constant):
    assert _evaluate(ITMAccuracy(), _pairs(*[(constant, constant)] * 3))["itm/accuracy"] == 0.5


def test_a_batch_without_another_caption_leaves_only_its_positive():
    metrics = _evaluate(ITMAccuracy(), _pairs((1.0, NAN), (-1.0, -1.0)))
    assert metrics == {"itm/accuracy": 0.75, "itm/accuracy_positive": 0.5, "itm/accuracy_negative": 1.0}


def test_a_diverged_model_is_wrong():
    assert _evaluate(ITMAccuracy(), _pairs((NAN, NAN)))["itm/accuracy"] == 0.0


def test_matching_without_any_other_caption_is_not_reported(caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert _evaluate(ITMAccuracy(), _pairs((1.0, NAN))) == {}
    assert "ITMAccuracy: not reported" in caplog.text


def test_classification_stands_beside_the_majority_label():
    labels = [(1, 1), (1, 0), (1, 1), (0, 1)]
    samples = [{"gt_label": torch.tensor([truth]), "pred_label": guess} for truth, guess in labels]
    assert _evaluate(ClassificationAccuracy(), samples) == {
        "classification/accuracy": 0.5,
        "classification/majority": 0.75,
    }


def test_a_sample_without_labels_is_left_out():
    samples = [{"gt_label": 1, "pred_label": 1}, {"text": "a"}]
    assert _evaluate(ClassificationAccuracy(), samples)["classification/accuracy"] == 1.0
