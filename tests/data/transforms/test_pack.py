import numpy as np
import pytest
import torch

from bus_toolkit.data.transforms.pack import PackRegions


def sample(**fields):
    return {"img": np.zeros((16, 24, 3), np.uint8), "text": "a star", "image_id": 3, "text_id": 7, **fields}


def test_gives_the_fields_that_a_model_reads():
    boxes = np.array([[1, 2, 5, 6], [2, 2, 9, 9]], np.float32)
    packed = PackRegions()(sample(gt_bboxes=boxes, named=np.array([True, False]), img_path="a.png", region_only=True))
    data = packed["data_samples"]
    assert packed["inputs"].shape == (3, 16, 24) and packed["inputs"].dtype == torch.uint8
    assert (data.text, data.image_id, data.text_id, data.img_path, data.region_only) == ("a star", 3, 7, "a.png", True)
    assert torch.equal(data.gt_boxes, torch.tensor(boxes)) and data.named.tolist() == [True, False]


def test_cuts_boxes_to_the_image_and_drops_those_outside():
    boxes = np.array([[-4, -4, 8, 8], [30, 0, 40, 8], [20, 10, 30, 20]], np.float32)
    data = PackRegions()(sample(gt_bboxes=boxes, named=np.array([True, True, False])))["data_samples"]
    assert data.gt_boxes.tolist() == [[0, 0, 8, 8], [20, 10, 24, 16]]
    assert data.named.tolist() == [True, False]


def test_an_image_without_boxes_in_view_has_neither_field():
    outside = np.array([[30, 0, 40, 8]], np.float32)
    for fields in ({}, {"gt_bboxes": outside, "named": np.array([True])}):
        data = PackRegions()(sample(**fields))["data_samples"]
        assert "gt_boxes" not in data and "named" not in data and "region_only" not in data


def test_keeps_a_class_label():
    assert PackRegions()(sample(gt_label=1))["data_samples"].gt_label.tolist() == [1]


@pytest.mark.parametrize("label", [0.7, np.array([0.7]), [0, 1], "true"])
def test_a_label_that_is_no_whole_number_makes_a_bad_sample(label):
    with pytest.raises(OSError, match="a class label must be one whole number, got"):
        PackRegions()(sample(gt_label=label))


def test_keeps_what_a_data_set_says_of_answers():
    fields = {"question_type": "colour", "answer_type": "other", "gt_answer": ["red"], "gt_answer_weight": [1.0]}
    data = PackRegions()(sample(**fields, answers=["red"] * 10))["data_samples"]
    assert {name: data.get(name) for name in fields} == fields and data.answers == ["red"] * 10


def test_named_objects_that_are_all_out_of_view_leave_no_labels():
    """The rest would say that no patch belongs to the caption."""
    boxes = np.array([[30, 0, 40, 8], [1, 1, 5, 5]], np.float32)
    data = PackRegions()(sample(gt_bboxes=boxes, named=np.array([True, False])))["data_samples"]
    assert "gt_boxes" not in data and "named" not in data
    data = PackRegions()(sample(gt_bboxes=boxes, named=np.array([False, False])))["data_samples"]
    assert data.named.tolist() == [False], "a caption that names nothing says so"


def test_a_box_that_is_not_finite_is_an_error():
    boxes = np.array([[1, 1, np.nan, 5]], np.float32)
    with pytest.raises(OSError, match="a box is not finite: .1.0, 1.0, nan"):
        PackRegions()(sample(gt_bboxes=boxes, named=np.array([True])))
