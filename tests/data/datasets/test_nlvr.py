import json

import cv2
import numpy as np
import pytest

from bus_toolkit.data.datasets.nlvr import NLVRDataset, named_objects
from bus_toolkit.errors import DataError

PIPELINE = [
    {"type": "mmpretrain.LoadImageFromFile"},
    {"type": "mmpretrain.Resize", "scale": [64, 16]},
    {"type": "bus_toolkit.PackRegions"},
]
BGR = {"Yellow": (0, 255, 255), "#0099ff": (255, 153, 0), "Black": (0, 0, 0)}


def item(x, y, size, kind, colour):
    return {"x_loc": x, "y_loc": y, "size": size, "type": kind, "color": colour}


BOXES = [
    [item(10, 20, 30, "square", "Black")],
    [item(0, 0, 20, "circle", "Yellow"), item(60, 70, 10, "square", "#0099ff")],
    [item(40, 50, 20, "triangle", "Yellow")],
]


@pytest.fixture
def root(tmp_path):
    example = {"sentence": "There is a yellow circle", "label": "true", "identifier": "1-0", "structured_rep": BOXES}
    other = {"sentence": "There is nothing", "label": "false", "identifier": "2-0", "structured_rep": BOXES}
    (tmp_path / "dev.json").write_text("\n".join(json.dumps(e) for e in (example, other)) + "\n")
    (tmp_path / "images" / "dev").mkdir(parents=True)
    for order, places in enumerate(((0, 1, 2), (0, 2, 1))):
        picture = np.full((100, 400, 3), 180, np.uint8)
        for left, place in zip((0, 150, 300), places, strict=True):
            for thing in BOXES[place]:
                x, y, size = left + thing["x_loc"], thing["y_loc"], thing["size"]
                picture[y : y + size, x : x + size] = BGR[thing["color"]]
        for identifier in ("1-0", "2-0"):
            cv2.imwrite(str(tmp_path / "images" / "dev" / f"dev-{identifier}-{order}.png"), picture)
    return tmp_path


def test_gives_sentence_label_and_boxes(root):
    data = NLVRDataset(str(root), ["dev"], pipeline=PIPELINE)
    sample = data[0]["data_samples"]
    assert len(data) == 2 and data.boxed_indices == [0]
    assert sample.text == "There is a yellow circle" and sample.gt_label.tolist() == [1]
    assert data[0]["inputs"].shape == (3, 16, 64)
    # 400 x 100 to 64 x 16 pixels: all lengths times 0.16; the second box begins at 150.
    assert np.allclose(sample.gt_boxes[1], np.array([150, 0, 170, 20]) * 0.16)
    assert sample.named.tolist() == [False, True, False, False]
    assert "gt_boxes" not in data[1]["data_samples"] and data[1]["data_samples"].gt_label.tolist() == [0]


@pytest.mark.parametrize("index", [0, 1])
def test_boxes_follow_the_order_of_the_image(root, index):
    data = NLVRDataset(str(root), ["dev"], images_per_example=2)
    info = data.get_data_info(index)
    picture = cv2.imread(info["img_path"])
    things = [thing for place in ((0, 1, 2), (0, 2, 1))[index] for thing in BOXES[place]]
    for (x1, y1, x2, y2), thing in zip(info["gt_bboxes"].astype(int), things, strict=True):
        assert (picture[y1:y2, x1:x2] == BGR[thing["color"]]).all()


def test_both_images_of_an_example_are_rows_of_their_own(root):
    data = NLVRDataset(str(root), ["dev"], images_per_example=2)
    assert [data.get_data_info(i)["image_id"] for i in range(len(data))] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("a black block", [True, False, False]),
        ("two yellow objects", [False, True, False]),
        ("squares and circles", [True, True, True]),
        ("a blue triangle", [False, False, False]),
        ("nothing of that", [False, False, False]),
    ],
)
def test_names_objects_by_colour_and_shape(sentence, named):
    objects = [("black", "square"), ("yellow", "circle"), ("#0099ff", "square")]
    assert named_objects(sentence, objects).tolist() == named


def test_boxes_can_be_left_out(root):
    assert NLVRDataset(str(root), ["dev"], with_boxes=False).boxed_indices == []


@pytest.mark.parametrize(
    ("splits", "options", "message"),
    [
        (["test"], {}, "test.json: cannot be read: No such file.*set data_root to the folder"),
        ([], {}, "needs at least one split"),
        (["dev"], {"images_per_example": 3}, "must be 1 or 2, got 3"),
    ],
)
def test_says_what_is_wrong(root, splits, options, message):
    with pytest.raises(DataError, match=message):
        NLVRDataset(str(root), splits, **options)


@pytest.mark.parametrize("content", ["{", '{"sentence": "a"}', ""])
def test_says_when_a_file_is_of_another_kind(root, content):
    (root / "dev.json").write_text(content)
    with pytest.raises(DataError, match="is not in NLVR's format|has no examples"):
        NLVRDataset(str(root), ["dev"])
