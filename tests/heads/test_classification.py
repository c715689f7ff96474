"""Classification of image-text pairs."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.classification import ClassificationHead
from tests.tiny import WIDTH, images
from tests.tiny_model import sample, tiny_model


def model_with_head():  # noqa: ANN201
    torch.manual_seed(0)
    return tiny_model(heads={"cls": ClassificationHead(text_dim=WIDTH, num_classes=3)})


def test_it_learns_from_labels_and_predicts_a_class_with_its_probability() -> None:
    model = model_with_head()
    batch = [sample("abc", 0, gt_label=2), sample("de", 1, gt_label=0)]
    out = model.loss(images(2), batch)
    assert out["loss_cls"].item() == pytest.approx(1.1, abs=0.6)
    with torch.no_grad():
        predicted = model.eval().predict(images(2), batch)
    assert predicted[0].pred_label in (0, 1, 2)
    assert 1 / 3 <= predicted[0].pred_score <= 1


def test_a_batch_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="the data samples have no gt_label"):
        model_with_head().loss(images(1), [sample("abc", 0)])
