"""The verdict on each sample: whose it is, what was predicted, and whether it is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import (
    CaptionMetrics,
    ClassificationAccuracy,
    GroundingAccuracy,
    ITMAccuracy,
    MLMAccuracy,
    PatchTextAUC,
    VQAAccuracy,
)
from bus_toolkit.evaluation.metrics.sample_ids import SampleId, in_order


def evaluated(metric, *samples):
    """Return the lines and the figures of samples whose ids are given backwards."""
    lines = []
    metric.write_lines_to(lines.extend)
    rows = [{"text_id": len(samples) - place, "image_id": 7, **sample} for place, sample in enumerate(samples)]
    metric.process(None, rows)
    return lines, metric.evaluate(len(rows))


def test_answers_as_classes_apart_by_kind_of_question() -> None:
    labels = [("attribute", 1, 1), ("attribute", 2, 1), ("control", 0, 0)]
    samples = [{"question_type": kind, "gt_label": truth, "pred_label": guess} for kind, truth, guess in labels]
    lines, figures = evaluated(ClassificationAccuracy(by="question_type"), *samples)
    assert [(line["id"], line["kind"], line["correct"]) for line in lines] == [
        (1, "control", 1),
        (2, "attribute", 0),
        (3, "attribute", 1),
    ]
    assert lines[1] == {
        "id": 2,
        "image": 7,
        "kind": "attribute",
        "metric": "classification",
        "prediction": 1,
        "answer": 2,
        "correct": 0,
    }
    assert figures == {
        "classification/accuracy": 2 / 3,
        "classification/majority": 1 / 3,
        "classification/accuracy_attribute": 0.5,
        "classification/majority_attribute": 0.5,
        "classification/accuracy_control": 1.0,
        "classification/majority_control": 1.0,
    }


def test_a_kind_that_samples_do_not_say_is_refused() -> None:
    with pytest.raises(ConfigError, match="ClassificationAccuracy.by: must be a field .*got 'kind' for one with the"):
        evaluated(ClassificationAccuracy(by="kind"), {"gt_label": 1, "pred_label": 1})


def test_samples_without_ids_are_numbered_in_the_order_of_the_data_and_empty_ones_have_no_line() -> None:
    samples = [{}, {"gt_label": 1, "pred_label": 1}]
    lines, _ = evaluated(ClassificationAccuracy(), *({**sample, "text_id": None} for sample in samples))
    assert [(line["id"], line["kind"]) for line in lines] == [(1, "classification")]


def test_the_mean_of_the_lines_is_the_metric() -> None:
    answers = ["red"] * 3 + ["blue"] * 7
    lines, figures = evaluated(VQAAccuracy(), *({"pred_answer": word, "answers": answers} for word in ("Red.", "blue")))
    assert [(line["prediction"], line["answer"], line["correct"]) for line in lines] == [
        ("blue", "blue", 1.0),
        ("red", "blue", pytest.approx(0.9)),
    ]
    assert figures["vqa/accuracy"] == pytest.approx(0.95)


def test_boxes_come_with_their_overlap() -> None:
    box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    sample = {"pred_box": torch.tensor([0.0, 0.0, 2.0, 1.0]), "gt_boxes": box, "named": torch.tensor([True])}
    (line,), _ = evaluated(GroundingAccuracy(threshold=0.6), sample)
    assert (line["iou"], line["correct"], line["answer"]) == (0.5, 0, [0.0, 0.0, 2.0, 2.0])


def test_matching_has_a_line_for_each_of_its_two_questions() -> None:
    lines, _ = evaluated(ITMAccuracy(), {"itm_positive": 1.0, "itm_negative": 2.0})
    assert [(line["kind"], line["prediction"], line["answer"], line["correct"]) for line in lines] == [
        ("positive", 1, 1, 1),
        ("negative", 1, 0, 0),
    ]


def test_hidden_words_are_right_by_their_share() -> None:
    sample = {"mlm_targets": [4, 5], "mlm_predictions": [4, 6], "mlm_words": ["a", "b"]}
    (line,), _ = evaluated(MLMAccuracy(), sample)
    assert (line["correct"], line["prediction"], line["answer"], line["words"]) == (0.5, [4, 6], [4, 5], ["a", "b"])


def test_an_image_is_captioned_once_and_has_its_part_of_cider() -> None:
    samples = [
        {"image_id": image, "text": text, "pred_caption": "a red dog"}
        for image, text in ((1, "a red dog"), (1, "the red dog"), (2, "blue sky today"))
    ]
    lines, figures = evaluated(CaptionMetrics(), *samples)
    assert [(line["id"], line["image"], line["answer"]) for line in lines] == [
        (1, 2, ["blue sky today"]),
        (3, 1, ["a red dog", "the red dog"]),
    ]
    assert sum(line["cider_d"] for line in lines) / 2 == pytest.approx(figures["caption/CIDEr_D"])


def test_the_selector_has_an_area_for_each_image() -> None:
    kinds = torch.tensor([1, 0, -1, -1])
    lines, _ = evaluated(
        PatchTextAUC(),
        {"patch_scores": torch.tensor([3.0, 9.0, 1.0, 2.0]), "object_labels": kinds},
        {"patch_scores": torch.tensor([3.0, 1.0, 1.0, 2.0]), "object_labels": kinds - 1},
    )
    assert [(line["auc"], line["auc_named"]) for line in lines] == [(None, None), (pytest.approx(2 / 3), 0.0)]


def test_numbers_of_numpy_are_ids_in_their_order() -> None:
    ids = [SampleId.of({"text_id": np.int64(number)}).id for number in (10, 9)]
    assert ids == [10, 9] and all(type(number) is int for number in ids) and in_order(ids) == [1, 0]
