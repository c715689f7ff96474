import csv
import json

import cv2
import numpy as np
import pytest

from bus_toolkit.data import ImageTextPairs
from bus_toolkit.data.datasets.bad_samples import TooManyBadSamples
from bus_toolkit.errors import DataError
from bus_toolkit.tokenizers.vocabularies import count_words

PIPELINE = [{"type": "mmpretrain.LoadImageFromFile"}, {"type": "bus_toolkit.PackRegions"}]
LONG = "word " * 10_000


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), np.full((16, 16, 3), 100 + number, np.uint8))
    return tmp_path


def write(folder, name, content, **options):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return ImageTextPairs(str(path), str(folder / "photos"), pipeline=PIPELINE, **options)


def seen(data):
    infos = [data.get_data_info(row) for row in range(len(data))]
    return [(info["img_path"].rsplit("/", 1)[1], info["text"], info["image_id"], info["text_id"]) for info in infos]


ROWS = [("0.png", 'a "dog", sleeping', 0, 0), ("1.png", "🐱 ein Kätzchen", 1, 1), ("0.png", "one dog", 0, 2)]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_table_gives_the_columns_that_it_names(photos, kind):
    with (photos / f"pairs.{kind}").open("w", encoding="utf-8", newline="") as file:
        rows = [("size", "filepath", "title"), *((9, image, text) for image, text, *_ in ROWS)]
        csv.writer(file, delimiter={"csv": ",", "tsv": "\t"}[kind]).writerows(rows)
    data = ImageTextPairs(str(photos / f"pairs.{kind}"), str(photos / "photos"), pipeline=PIPELINE)
    assert seen(data) == ROWS
    sample = data[1]
    assert int(sample["inputs"][0, 0, 0]) == 101 and sample["data_samples"].text == "🐱 ein Kätzchen"


def test_json_and_json_lines_read_alike_and_may_list_captions(photos):
    records = [
        {"image": "0.png", "caption": ["a dog", "one dog"]},
        {"image": "./x/../0.png", "caption": "it sleeps"},
        {"image": str(photos / "photos" / "1.png"), "caption": "a cat"},
    ]
    wanted = [
        ("0.png", "a dog", 0, 0),
        ("0.png", "one dog", 0, 1),
        ("0.png", "it sleeps", 0, 2),
        ("1.png", "a cat", 1, 3),
    ]
    assert seen(write(photos, "a.json", json.dumps(records))) == wanted
    # A line separator of Unicode within a caption does not end a line of JSON.
    records[2]["caption"] = wanted[3][1] + "\u2028"
    lines = "\n\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    assert seen(write(photos, "a.jsonl", lines))[:3] == wanted[:3]


def test_a_byte_order_mark_is_no_part_of_the_first_column(photos):
    assert seen(write(photos, "a.csv", b"\xef\xbb\xbfimage,text\n0.png,a dog\n")) == [("0.png", "a dog", 0, 0)]


def test_columns_may_be_named(photos):
    data = write(photos, "a.csv", "image,caption,alt\n0.png,wrong,a dog\n", text_key="alt")
    assert seen(data) == [("0.png", "a dog", 0, 0)]


def test_a_caption_of_ten_thousand_words_is_read_whole_and_longer_fields_too(photos):
    data = write(photos, "a.csv", f"image,caption\n0.png,{LONG}\n1.png,{LONG * 4}\n")
    assert data[0]["data_samples"].text == LONG and len(data.get_data_info(1)["text"]) == 4 * len(LONG)
    assert csv.field_size_limit() < 4 * len(LONG), "the limit of other readers stays"


@pytest.mark.parametrize(
    "row, report",
    [
        ({"image": "0.png", "caption": "  "}, "line 2: the caption is empty"),
        ({"image": "0.png", "caption": None}, "line 2: the caption is not text, got None"),
        ({"image": "0.png", "caption": []}, "line 2: the caption is not text, got []"),
        ({"image": None, "caption": "a dog"}, "line 2: the image must be a path, got None"),
        ({"image": "0.png", "caption": "a cat"}, "line 2: the same image and caption as line 1"),
        ({"image": "none.png", "caption": "a dog"}, "none.png"),
    ],
)
def test_a_bad_row_is_skipped_and_counted_with_its_line(photos, row, report, caplog):
    lines = "\n".join(json.dumps(r) for r in ({"image": "0.png", "caption": "a cat"}, row))
    data = write(photos, "a.jsonl", lines, max_bad_samples=1)
    assert data[1]["data_samples"].text == "a cat" and data.bad.count == 1
    assert report in caplog.text
    with pytest.raises(TooManyBadSamples, match="the limit is 0"):
        write(photos, "a.jsonl", lines, max_bad_samples=0)[1]


@pytest.mark.parametrize(
    "name, content, report",
    [
        (
            "a.csv",
            "picture,caption\n0.png,a\n",
            "line 2: has none of image, file, filename, filepath, img_path, got picture, caption",
        ),
        ("a.csv", "image,caption\n0.png,a,b\n", "line 2: 3 fields, the header has 2: image, caption. Put quotes"),
        (
            "a.csv",
            "image,caption\n0.png\n0.png,a\n1.png\n2.png\n",
            r"line 2: 1 fields, .* caption. Complete the line, or remove it. Other lines: 4, 5\.$",
        ),
        ("a.csv", 'image,caption\n0.png,"a\n', "line 2: unexpected end of data"),
        ("a.csv", b"image,caption\n0.png,a\n1.png,\xe4\n", r"line 3: is not UTF-8 \(byte 0xe4\)"),
        ("a.csv", "", "has no pair"),
        ("a.json", '{"image": "0.png"}', "must hold a list of records, got dict"),
        ("a.json", '["0.png"]', "entry 0: must be a mapping, got '0.png'"),
        ("a.jsonl", '{"image": "0.png", "caption": "a"}\n{"image"', "line 2: is not JSON"),
        ("a.jsonl", '{"image": "0.png", "words": "a"}', "line 1: has none of caption, text, title, got image, words"),
        ("a.xls", "", "must be a .csv, .tsv, .json, .jsonl, .ndjson file"),
    ],
)
def test_a_malformed_file_is_reported_with_file_and_line(photos, name, content, report):
    with pytest.raises(DataError, match=f"ImageTextPairs.ann_file: .*{report}"):
        write(photos, name, content)


def test_a_missing_file_and_a_missing_named_column_are_reported(photos):
    with pytest.raises(DataError, match="none.csv: cannot be read: No such file"):
        ImageTextPairs("none.csv")
    with pytest.raises(DataError, match="has no 'alt', got image, caption. Set text_key"):
        write(photos, "a.csv", "image,caption\n0.png,a\n", text_key="alt")


def test_a_share_of_the_images_is_held_out_whatever_the_order_of_the_rows(photos):
    rows = [f"{number}.png,caption {number} {time}" for number in range(3) for time in range(2)]

    def images(order, **options):
        data = write(photos, "a.csv", "\n".join(["image,caption", *order, ""]), **options)
        return sorted({row[0] for row in seen(data)}), len(data)

    val, train = images(rows, split="val", val_share=0.4), images(rows, split="train", val_share=0.4)
    assert len(val[0]) == 1 and len(train[0]) == 2 and not set(val[0]) & set(train[0])
    assert (val[1], train[1]) == (2, 4), "all captions of an image go together"
    assert images(rows[::-1], split="val", val_share=0.4)[0] == val[0]
    assert len(images(rows, split="train", val_share=0.99)[0]) == 1, "one image is left to train on"


def test_an_image_is_one_however_its_path_is_written(photos):
    relative = [f"{number}.png,caption {number}" for number in range(3)]
    absolute = [f"{photos / 'photos' / f'{number}.png'},words {number}" for number in range(3)]
    rows = "\n".join(["image,caption", *relative, *absolute, "./0.png,more words", ""])
    val, train = (seen(write(photos, "a.csv", rows, split=split, val_share=0.4)) for split in ("val", "train"))
    assert len(val) + len(train) == 7
    assert not {name for name, *_ in val} & {name for name, *_ in train}
    assert len({image_id for _, _, image_id, _ in seen(write(photos, "a.csv", rows))}) == 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "test"}, "ImageTextPairs.split: must be train or val, got 'test'"),
        ({"split": "val", "val_share": 1.0}, "ImageTextPairs.val_share: must be between 0 and 1, got 1.0"),
    ],
)
def test_another_split_or_share_is_refused(photos, options, message):
    with pytest.raises(DataError, match=message):
        write(photos, "a.csv", "image,caption\n0.png,a\n1.png,b\n", **options)
    with pytest.raises(DataError, match="ImageTextPairs.split: needs at least 2 images, got 1"):
        write(photos, "a.csv", "image,caption\n0.png,a\n", split="train")


@pytest.mark.parametrize("column", ["image", "file", "filename", "filepath", "img_path"])
def test_usual_names_of_the_image_column_need_no_setting(photos, column):
    assert seen(write(photos, "a.csv", f"{column},caption\n0.png,a\n")) == [("0.png", "a", 0, 0)]


def test_paths_of_images_may_be_absolute_or_start_at_the_home(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos))
    data = write(photos, "a.csv", f"image;caption\n0.png;a\n{photos}/photos/0.png;b\n~/photos/0.png;c\n")
    assert seen(data) == [("0.png", "a", 0, 0), ("0.png", "b", 0, 1), ("0.png", "c", 0, 2)]


def test_two_spellings_of_a_path_stay_in_one_part(photos):
    lines = [f"{spelling}{number}.png,{spelling} caption" for number in range(20) for spelling in ("", "./", "x/../")]
    content = "\n".join(["image,caption", *lines])
    parts = [write(photos, "a.csv", content, split=split) for split in ("train", "val")]
    train, val = ({name for name, *_ in seen(part)} for part in parts)
    assert (len(train), len(val), train & val) == (16, 4, set())


def test_a_caption_file_in_excels_form_also_gives_the_words(photos):
    write(photos, "a.csv", b"\xef\xbb\xbfimage;caption\r\n0.png;a dog\r\n")
    assert count_words(photos / "a.csv", str.split, 1) == ["a", "dog"]
