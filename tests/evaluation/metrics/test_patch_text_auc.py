import logging

import numpy as np
import pytest
import torch

from bus_toolkit.evaluation import PatchTextAUC, roc_auc


def _slow_auc(scores, labels):
    pairs = [(p, n) for p in scores[labels] for n in scores[~labels]]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_the_area_agrees_with_counting_pairs_however_many_ties(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, 80).astype(np.float32)
    labels = rng.random(80) < 0.3
    assert roc_auc(scores, labels) == pytest.approx(_slow_auc(scores, labels), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "labels", "area"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([1, 2, 3, 4], [1, 1, 0, 0], 0.0),
        ([1, 1, 1, 1], [0, 1, 0, 1], 0.5),
        ([1, 3, 2, 4], [0, 0, 1, 1], 0.75),  # 2 > 1, 4 > 1, 4 > 3, but 2 < 3
        ([1, 2, 2], [0, 0, 1], 0.75),  # 2 > 1, 2 = 2
    ],
)
def test_the_area_of_small_cases(scores, labels, area):
    assert roc_auc(np.array(scores, dtype=float), np.array(labels, dtype=bool)) == area


def test_the_area_does_not_change_under_a_monotone_map_or_overflow_its_counts():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=200_000), rng.random(200_000) < 0.5
    assert roc_auc(scores, labels) == pytest.approx(roc_auc(np.exp(scores), labels), abs=1e-12)
    assert roc_auc(labels.astype(float), labels) == 1.0


def test_an_area_that_is_undefined_is_none():
    assert roc_auc(np.arange(3.0), np.ones(3, dtype=bool)) is None
    assert roc_auc(np.arange(3.0), np.zeros(3, dtype=bool)) is None
    assert roc_auc(np.array([np.nan, 1.0]), np.array([True, False])) is None


def _sample(own, other, kinds):
    kinds = torch.tensor(kinds, dtype=torch.int8)
    return {
        "patch_scores": torch.tensor(own),
        "patch_scores_shuffled": torch.tensor(other),
        "patch_labels": kinds == 1,
        "object_labels": kinds,
    }


def _evaluate(samples):
    metric = PatchTextAUC()
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_named_patches_are_compared_with_all_and_with_other_objects():
    # Kinds: named, distractor, background, background. Own: 3 is above all. Shuffled: 0.5 is above one of three.
    metrics = _evaluate([_sample([3.0, 2.0, 1.0, 0.0], [0.5, 2.0, 1.0, 0.0], [1, 0, -1, -1])])
    assert metrics == {
        "patch_text/auc": 1.0,
        "patch_text/auc_named": 1.0,
        "patch_text/auc_shuffled": pytest.approx(1 / 3),
        "patch_text/auc_named_shuffled": 0.0,
    }


def test_an_image_alone_in_its_batch_counts_by_its_own_scores(caplog):
    pair = [_sample([3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1, 0, -1, -1])]
    alone = _sample([0.0, 2.0, 1.0, 3.0], [0.0] * 4, [1, 0, -1, -1]) | {"patch_scores_shuffled": None}
    both = _sample([0.0, 2.0, 1.0, 3.0], [0.0] * 4, [1, 0, -1, -1])
    metrics, whole = _evaluate([*pair, alone]), _evaluate([*pair, both])
    assert [metrics[f"patch_text/{name}"] for name in ("auc", "auc_named")] == [
        whole[f"patch_text/{name}"] for name in ("auc", "auc_named")
    ]
    assert metrics["patch_text/auc_shuffled"] == _evaluate(pair)["patch_text/auc_shuffled"]
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert _evaluate([alone]).keys() == {"patch_text/auc", "patch_text/auc_named"}
    assert "auc_shuffled is not reported. No image shares its batch with another." in caplog.text


def test_images_without_boxes_are_left_out():
    boxed = _sample([3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1, 0, -1, -1])
    absent = {"patch_scores": None, "patch_scores_shuffled": None, "object_labels": None}
    assert _evaluate([absent, boxed, {"text": "a"}]) == _evaluate([boxed])


def test_no_boxes_at_all_are_reported_as_such(caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert _evaluate([{"text": "a"}, {"text": "b"}]) == {}
    assert "PatchTextAUC: not reported. None of 2 samples has boxes and patch scores" in caplog.text


def test_without_distractors_only_the_area_over_all_patches_is_reported(caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        metrics = _evaluate([_sample([3.0, 1.0], [1.0, 3.0], [1, -1])])
    assert set(metrics) == {"patch_text/auc", "patch_text/auc_shuffled"}
    assert "auc_named is not reported, it is undefined for 1 positive and 0 negative patches" in caplog.text


def test_scores_in_float64_are_ranked_in_float64():
    scores = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)  # equal in float32, which would be an area of 0.5
    row = {"patch_scores": scores, "patch_scores_shuffled": scores, "object_labels": torch.tensor([-1, 1])}
    metric = PatchTextAUC()
    metric.process(None, [row])
    assert metric.evaluate(1)["patch_text/auc"] == 1.0
