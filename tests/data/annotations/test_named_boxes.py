"""The boxes of images, and which of them each text names."""

import json

import pytest

from bus_toolkit.data.annotations.named_boxes import NamedBoxes
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.errors import DataError


@pytest.fixture
def files(tmp_path):
    boxes = [(1, 10, [0, 0, 4, 4]), (2, 10, [4, 4, 2, 2]), (3, 11, [1, 1, 2, 2])]
    annotations = [{"id": number, "image_id": image, "bbox": box} for number, image, box in boxes]
    (tmp_path / "instances.json").write_text(json.dumps({"annotations": annotations}))
    (tmp_path / "regions.json").write_text(json.dumps({"7": [2], "8": [3]}))
    return str(tmp_path / "instances.json"), str(tmp_path / "regions.json")


def test_a_text_gets_all_boxes_of_its_image_and_which_it_names(files):
    sample = {"img_path": "a.jpg", "text": "a cat"}
    NamedBoxes.read(*files, "Captions").attach(sample, 10, "7")
    assert sample["gt_bboxes"].tolist() == [[0, 0, 4, 4], [4, 4, 6, 6]]
    assert sample["named"].tolist() == [False, True]


def test_boxes_can_be_kept_for_some_images_only(files):
    boxes = NamedBoxes.read(*files, "Captions")
    assert boxes.has(10, 7) and boxes.has(11, 8) and not boxes.has(10, 9)
    assert not boxes.of_images({11}).has(10, 7)


def test_ids_of_images_without_boxes_need_not_be_numbers(files):
    assert not NamedBoxes.read(*files, "Captions").has("n161313", "question-1")
    assert not NamedBoxes.read(None, None, "Captions").has(10, 7)


def test_a_text_that_names_what_its_image_does_not_have_is_a_bad_sample(files):
    with pytest.raises(BadSample, match="names instance 3, which its image does not have"):
        NamedBoxes.read(*files, "Captions").attach({"img_path": "a.jpg", "text": "a cat"}, 10, 8)


def test_one_file_without_the_other_is_refused(files):
    with pytest.raises(DataError, match="Captions: instances_file and regions_file belong together, got only one"):
        NamedBoxes.read(files[0], None, "Captions")
