import json

import pytest

from bus_toolkit.data.shards.annotation import parse_annotation


def parse(**record):
    return parse_annotation(json.dumps(record).encode())


def test_boxes_become_corners():
    annotation = parse(caption="a", image_id=7, boxes=[[1, 2, 3, 4], [0.5, 0, 0, 1]], named=[False, True])
    assert (annotation.caption, annotation.image_id) == ("a", 7)
    assert annotation.boxes.tolist() == [[1, 2, 4, 6], [0.5, 0, 0.5, 1]] and annotation.boxes.dtype == "float32"
    assert annotation.named.tolist() == [False, True]


def test_without_named_the_caption_speaks_of_all_boxes():
    assert parse(boxes=[[0, 0, 1, 1]] * 2).named.tolist() == [True, True]


@pytest.mark.parametrize("record", [{}, {"boxes": None, "named": None}, {"boxes": [], "url": "http://x", "width": 3}])
def test_all_keys_may_be_missing_and_others_are_passed_over(record):
    annotation = parse(**record)
    assert (annotation.caption, annotation.image_id) == (None, None)
    assert (annotation.boxes.shape, annotation.named.shape) == ((0, 4), (0,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the json is no JSON"),
        (b"\xff\xfe", "the json is no JSON"),
        (b"[" * 100_000, "the json is no JSON"),
        (b"[1]", "must be a mapping, got list"),
        (b'{"image_id": "a"}', "image_id must be a whole number from 0 below 2.40, got 'a'"),
        (b'{"image_id": true}', "image_id must be"),
        (b'{"image_id": -1}', "image_id must be"),
        (b'{"boxes": {"a": 1}}', r"boxes must be \[x, y, w, h\] each"),
        (b'{"boxes": [[0, 0, 1, 1], [0, 0, 1]]}', r"got \[0, 0, 1\]"),
        (b'{"boxes": [[0, 0, -1, 1]]}', "w and h 0 or more"),
        (b'{"boxes": [[0, 0, NaN, 1]]}', "finite"),
        (b'{"boxes": [[0, 0, "1", 1]]}', "boxes must be"),
        (b'{"boxes": [[0, 0, 1, 1]], "named": []}', "true or false for each of 1 boxes"),
        (b'{"boxes": [[0, 0, 1, 1]], "named": [1]}', "true or false"),
        (b'{"named": [true]}', "each of 0 boxes"),
    ],
)
def test_other_forms_are_reported(content, message):
    with pytest.raises(ValueError, match=message):
        parse_annotation(content)


@pytest.mark.parametrize("number", ["9" * 400, "1e308", "1e999", "NaN", "-1e10"])
def test_a_box_with_a_number_of_no_picture_is_refused(number):
    with pytest.raises(ValueError, match="json boxes must be"):
        parse_annotation(f'{{"boxes": [[{number}, 1, 2, 3]]}}'.encode())


def test_what_is_nested_too_deep_is_no_json():
    with pytest.raises(ValueError, match="nested too deep"):
        parse_annotation(b"[" * 100_000)
