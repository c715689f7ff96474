import json

import pytest

from bus_toolkit.data.annotations.coco_boxes import read_coco_instances, read_descriptions, read_json
from bus_toolkit.errors import DataError


def test_json_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"images": []}')
    assert read_json(str(tmp_path / "a.json"), "here") == {"images": []}
    with pytest.raises(DataError, match=r"here: .*gone.json cannot be read: No such file"):
        read_json(str(tmp_path / "gone.json"), "here")


def instances(tmp_path, *entries, **image):
    path = tmp_path / "instances.json"
    annotations = [{"id": number, "image_id": 1, **entry} for number, entry in enumerate(entries)]
    path.write_text(json.dumps({"images": [{"id": 1, **image}], "annotations": annotations}))
    return read_coco_instances(str(path), "here")


@pytest.mark.parametrize("box", [[1, 2, 3, 4, 5, 6, 7, 8], [], [[1, 2], [3, 4]], None])
def test_a_box_of_other_than_four_numbers_shifts_no_box_of_another_instance(tmp_path, box):
    with pytest.raises(DataError, match=r"ValueError: bbox of instance 0 is .*needs id, image_id and bbox"):
        instances(tmp_path, {"bbox": box}, {"bbox": [0, 0, 2, 2]})


def test_flags_and_sizes_may_be_written_as_texts_and_floats(tmp_path):
    content = instances(
        tmp_path, {"bbox": [0, 0, 2, 2], "iscrowd": "0"}, {"bbox": [0, 0, 2, 2], "iscrowd": "1"}, width=8.0, height="6"
    )
    assert content.crowds == {1} and content.sizes == {1: (8, 6)}


_GOOD = {"id": 7, "image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 3}


@pytest.mark.parametrize(
    ("key", "value"),
    [("bbox", [10**400, 1, 2, 3]), ("bbox", [1, "a", 2, 3]), ("id", [7]), ("id", 10**30), ("id", None)],
)
def test_hostile_values_of_an_instance_are_reported(tmp_path, key, value):
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"annotations": [_GOOD, _GOOD | {"id": 8, key: value}]}))
    with pytest.raises(DataError, match="a.json"):
        read_coco_instances(str(file), "instances_file")


def test_a_region_with_a_number_that_no_float_holds_is_reported(tmp_path):
    file = tmp_path / "a.json"
    region = {"phrase": "a dog", "x": 1.5, "y": 2, "width": 10**400, "height": 4}
    file.write_text(json.dumps([{"id": 1, "regions": [region]}]))
    with pytest.raises(DataError, match="a.json does not hold region descriptions"):
        read_descriptions(str(file), "regions_file")


def test_json_nested_too_deep_is_reported(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("[" * 100_000)
    with pytest.raises(DataError, match="nested too deep"):
        read_json(str(file), "x")
