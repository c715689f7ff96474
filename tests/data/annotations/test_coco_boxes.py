import json

import pytest

from bus_toolkit.data.annotations.coco_boxes import read_coco_instances, read_json
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
