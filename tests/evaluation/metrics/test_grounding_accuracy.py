import logging

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import GroundingAccuracy

# Two objects of an image: a square of 4 x 4 and one that it overlaps in nothing.
BOXES = torch.tensor([[0.0, 0.0, 4.0, 4.0], [10.0, 10.0, 14.0, 14.0]])


def sample(guess, named=(True, False), boxes=BOXES):
    return {"pred_box": torch.tensor(guess), "gt_boxes": boxes, "named": torch.tensor(named)}


def evaluate(samples, **options):
    metric = GroundingAccuracy(**options)
    metric.process(None, samples)
    return {key.removeprefix("grounding/"): value for key, value in metric.evaluate(len(samples)).items()}


def test_a_box_is_right_from_half_an_overlap_on():
    # 4 x 2 of 4 x 4: IoU 1/2, exactly right. 4 x 1: IoU 1/4. The other object: 0. The object itself: 1.
    guesses = [[0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 4.0, 1.0], [10.0, 10.0, 14.0, 14.0], [0.0, 0.0, 4.0, 4.0]]
    metrics = evaluate([sample(guess) for guess in guesses])
    assert metrics["accuracy"] == 0.5 and metrics["num_expressions"] == 4
    assert metrics["mean_iou"] == pytest.approx((0.5 + 0.25 + 0.0 + 1.0) / 4)
    assert evaluate([sample(guess) for guess in guesses], threshold=0.25)["accuracy"] == 0.75


def test_a_random_object_is_right_as_often_as_there_are_others():
    three = torch.cat([BOXES, torch.tensor([[0.0, 0.0, 4.0, 3.5]])])
    # Of two objects one is right; of three two, since the third covers 7/8 of the first.
    metrics = evaluate([sample([0.0] * 4), sample([0.0] * 4, (True, False, False), three)])
    assert metrics["random_object"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_constant_box_is_the_best_of_the_true_ones_and_their_mean():
    far = torch.tensor([[0.0, 0.0, 4.0, 4.0], [20.0, 20.0, 24.0, 24.0]])
    samples = [sample([0.0] * 4), sample([0.0] * 4), sample([0.0] * 4, (False, True), far)]
    assert evaluate(samples)["constant_box"] == pytest.approx(2 / 3)
    # Each true box covers 1/3 of its neighbour and so only itself; the mean of both covers 3/5 of each.
    near = [torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[2.0, 0.0, 6.0, 4.0]])]
    assert evaluate([sample([0.0] * 4, (True,), box) for box in near])["constant_box"] == 1.0


def test_many_expressions_are_thinned_out_for_the_constant_box():
    many = [sample([0.0] * 4) for _ in range(1000)]
    assert evaluate(many)["constant_box"] == 1.0


def test_samples_without_exactly_one_object_do_not_count():
    samples = [
        sample([0.0, 0.0, 4.0, 4.0]),
        sample([0.0, 0.0, 4.0, 4.0], (True, True)),
        sample([0.0, 0.0, 4.0, 4.0], (False, False)),
        {"pred_box": torch.zeros(4), "text": "without boxes"},
        {"gt_boxes": BOXES, "named": torch.tensor([True, False])},
    ]
    metrics = evaluate(samples)
    assert metrics["num_expressions"] == 1 and metrics["accuracy"] == 1.0


def test_half_precision_predictions_are_read():
    half = {**sample([0.0] * 4), "pred_box": torch.tensor([0.0, 0.0, 4.0, 4.0], dtype=torch.bfloat16)}
    assert evaluate([half])["accuracy"] == 1.0


def test_without_predictions_it_says_what_is_missing(caplog):
    with caplog.at_level(logging.WARNING):
        assert evaluate([{"text": "a"}]) == {}
    assert "None of 1 samples has pred_box, gt_boxes and one named box" in caplog.text


@pytest.mark.parametrize("threshold", [0.0, 1.1, -0.5])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ConfigError, match=rf"GroundingAccuracy.threshold: must be in \(0, 1\], got {threshold}"):
        GroundingAccuracy(threshold)


def test_boxes_in_float64_are_compared_in_float64():
    # A hair less than 8 of 16: in float32 the overlap would be exactly one half.
    guess = torch.tensor([0.0, 0.0, 4.0, 2.0 - 1e-12], dtype=torch.float64)
    given = {"pred_box": guess, "gt_boxes": BOXES.double(), "named": torch.tensor([True, False])}
    assert evaluate([given])["accuracy"] == 0.0
    assert evaluate([{**given, "pred_box": guess.float(), "gt_boxes": BOXES}])["accuracy"] == 1.0
