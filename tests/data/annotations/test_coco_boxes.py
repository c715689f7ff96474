import pytest

from bus_toolkit.data.annotations.coco_boxes import read_json
from bus_toolkit.errors import DataError


def test_json_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"images": []}')
    assert read_json(str(tmp_path / "a.json"), "here") == {"images": []}
    with pytest.raises(DataError, match=r"here: .*gone.json cannot be read: No such file"):
        read_json(str(tmp_path / "gone.json"), "here")
