"""Classification of image-text pairs."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError, DataError
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
    with pytest.raises(DataError, match="the class is the data sample's gt_label, got a sample without one"):
        model_with_head().loss(images(1), [sample("abc", 0)])


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, r"model.heads.cls .*: with num_classes 3, .* 0 to 2, got the label 3. Set num_classes to 4 or more, or"),
        (-1, r"model.heads.cls .*: with num_classes 3, labels .* 0 to 2, got the label -1. Correct the data"),
        (0.7, r"gt_label: must be one whole number, got 0.69"),
    ],
)
def test_a_label_that_is_none_of_the_classes_is_named_with_their_number(label: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model_with_head().loss(images(2), [sample("abc", 0, gt_label=1), sample("de", 1, gt_label=label)])


def two_image_model():  # noqa: ANN201
    return tiny_model(heads={"cls": ClassificationHead(text_dim=WIDTH, num_images=2)})


def pairs(count: int) -> torch.Tensor:
    return images(2 * count).unflatten(0, (count, 2))


def test_two_images_are_read_one_by_one_under_the_same_statement() -> None:
    """The logits are those of two passes with one image, put side by side."""
    model = two_image_model().eval()
    texts = ["abc", "defg"]
    batch = [sample(text, i, gt_label=i) for i, text in enumerate(texts)]
    both = pairs(2)
    with torch.no_grad():
        predicted = model.predict(both, batch)
        text = model.encoders.encode_text(model.encoders.tokenize(texts))
        halves = [model.encoders.fuse(text, model.encode(both[:, i], texts)).cls for i in (0, 1)]
        expected = model.heads["cls"].classifier(torch.cat(halves, dim=1)).softmax(dim=1)
    scores = torch.tensor([p.pred_score for p in predicted])
    torch.testing.assert_close(scores, expected.max(dim=1).values, rtol=1e-4, atol=1e-5)
    assert predicted[0].kept.shape == (2, 16), "which patches were kept of either image"


def test_the_order_of_two_images_matters_and_both_get_a_gradient() -> None:
    model = two_image_model()
    batch = [sample("abc", 0, gt_label=1)]
    both = pairs(1).requires_grad_()
    loss = model.loss(both, batch)["loss_cls"]
    assert loss.item() != pytest.approx(model.loss(both.detach().flip(1), batch)["loss_cls"].item(), abs=1e-6)
    loss.backward()
    assert all(both.grad[0, i].abs().sum() > 0 for i in (0, 1))


def test_another_number_of_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"num_images: must be the images a text of the data, 2, got 1"):
        model_with_head().loss(pairs(1), [sample("abc", 0, gt_label=1)])


def test_heads_for_one_image_refuse_two() -> None:
    with pytest.raises(DataError, match=r"model.heads.itc: ITCHead reads one image a text, got 2"):
        tiny_model().loss(pairs(1), [sample("abc", 0)])


def test_region_rows_of_two_images_are_refused() -> None:
    with pytest.raises(DataError, match="region_batch_size to 0"):
        two_image_model().loss(pairs(2), [sample("abc", 0, gt_label=1), sample("de", 1, region_only=True)])
