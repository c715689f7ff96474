import json

import cv2
import numpy as np
import pytest

from bus_toolkit.data.datasets.scene_task import SceneTask
from bus_toolkit.data.datasets.statements import Statements
from bus_toolkit.errors import DataError

TWO = [
    {
        "type": "mmpretrain.ApplyToList",
        "scatter_key": "img_path",
        "transforms": [{"type": "mmpretrain.LoadImageFromFile"}],
        "collate_keys": ["img"],
    },
    {"type": "bus_toolkit.PackRegions"},
]
ONE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]
NLVR2 = {"identifier": "dev-7-1-0", "sentence": "Both images show a dog.", "label": "True"}
SNLI_VE = {"pairID": "5.jpg#0", "Flickr30K_ID": "5", "sentence2": "A dog sleeps.", "gold_label": "neutral"}


@pytest.fixture
def images(tmp_path):
    for value, name in ((10, "dev-7-1-img0.png"), (200, "dev-7-1-img1.png"), (90, "5.jpg")):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), value, np.uint8))
    return tmp_path


def write(folder, *rows):
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) if isinstance(row, dict) else row for row in rows) + "\n")
    return str(path)


def test_nlvr2_has_two_images_in_their_order(images):
    data = Statements(write(images, NLVR2), str(images), pipeline=TWO)
    packed = data[0]
    assert [int(image.float().mean()) for image in packed["inputs"]] == [10, 200]
    sample = packed["data_samples"]
    assert sample.text == "Both images show a dog." and sample.gt_label.tolist() == [1]
    assert sample.text_id == "dev-7-1-0"


def test_a_line_ends_where_json_lines_say(images):
    row = json.dumps({**NLVR2, "sentence": "One\u2028dog\x85."}, ensure_ascii=False)
    assert Statements(write(images, row), str(images)).get_data_info(0)["text"] == "One\u2028dog\x85."


def test_images_may_be_named_outright(images):
    data = Statements(write(images, {**NLVR2, "images": ["5.jpg", "dev-7-1-img0.png"]}), str(images), pipeline=TWO)
    assert [int(image.float().mean()) for image in data[0]["inputs"]] == [90, 10]


def test_entailment_has_three_labels_and_one_image(images):
    rows = [{**SNLI_VE, "pairID": str(n), "gold_label": w} for n, w in enumerate(["contradiction", "entailment", "-"])]
    data = Statements(write(images, *rows), str(images), pipeline=ONE)
    assert len(data) == 2, "pairs without a majority are left out"
    assert [data[n]["data_samples"].gt_label.item() for n in (0, 1)] == [0, 2]
    assert data[0]["inputs"].shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("rows", "report"),
    [
        (["{"], "line 1: neither a line of NLVR2"),
        ([NLVR2, {"a": 1}], "line 2: neither a line of NLVR2"),
        ([{**NLVR2, "label": "true"}], "line 1: the label must be one of False, True, got 'true'"),
        ([{**SNLI_VE, "gold_label": "maybe"}], "must be one of contradiction, neutral, entailment, got 'maybe'"),
        ([{**NLVR2, "images": ["5.jpg"]}], "images must be two names"),
        ([NLVR2, NLVR2], "line 2: 'dev-7-1-0' occurs twice"),
        ([], "has no statements"),
    ],
)
def test_bad_rows_are_named(images, rows, report):
    with pytest.raises(DataError, match="rows.jsonl") as error:
        Statements(write(images, *rows), str(images))
    assert report in str(error.value)


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"nothing.jsonl: cannot be read.*bus-toolkit prepare nlvr2"):
        Statements(str(tmp_path / "nothing.jsonl"), str(tmp_path))


def test_a_missing_image_of_two_is_counted(images):
    other = {**NLVR2, "identifier": "dev-8-1-0"}
    data = Statements(write(images, NLVR2, other), str(images), pipeline=TWO, max_bad_samples=1)
    assert data[1]["data_samples"].text_id == "dev-7-1-0" and data.bad.count == 1


def test_scenes_are_written_and_read_by_the_reader(tmp_path):
    reader = {
        "type": "bus_toolkit.Statements",
        "ann_file": "{folder}/statements_{split}.jsonl",
        "img_dir": "{folder}/images",
        "pipeline": TWO,
    }
    data = SceneTask(str(tmp_path), "val", 5, reader, scenes={"image_size": 64})
    assert len(data) == 20 and data.boxed_indices == []
    assert [image.shape for image in data[3]["inputs"]] == [(3, 64, 64)] * 2
    assert data.get_data_info(3)["img_path"][0].startswith(str(tmp_path / "val_5" / "images"))


def test_statements_of_the_same_images_have_one_image_id(images):
    pairs = [{**NLVR2, "identifier": f"dev-{pair}-1-{count}"} for pair, count in ((7, 0), (8, 0), (7, 1))]
    data = Statements(write(images, *pairs), str(images), pipeline=TWO)
    assert [data.get_data_info(row)["image_id"] for row in range(3)] == [0, 1, 0]
