import json
import logging
import os

import numpy as np
import pytest

from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.tables import captions as module
from bus_toolkit.errors import DataError
from tests.data.tables.coco_miniature import reader, write_coco


@pytest.fixture
def files(tmp_path):
    return {**write_coco(tmp_path), "table_dir": str(tmp_path / "tables")}


def build(tmp_path, files, **options):
    return RegionCaptionDataset(reader(tmp_path), **{**files, **options})


def texts(data):
    return [data.get_data_info(row)["text"] for row in range(3)]


def tables(tmp_path):
    return {path.name.split("-")[0]: path for path in (tmp_path / "tables").iterdir()}


def counted(monkeypatch):
    """Return a list that gets an entry whenever captions are converted."""
    made, make = [], module._make
    monkeypatch.setattr(module, "_make", lambda *args: made.append(args) or make(*args))
    return made


def test_a_table_is_made_once_and_says_what_it_cost(files, monkeypatch, tmp_path, caplog):
    made = counted(monkeypatch)
    with caplog.at_level(logging.INFO):
        first = build(tmp_path, files)
    assert "captions.json into" in caplog.text and "more memory at the peak" in caplog.text
    assert texts(build(tmp_path, files)) == texts(first) and len(made) == 1
    assert set(tables(tmp_path)) == {"captions", "boxes", "descriptions"}
    assert not list((tmp_path / "tables").glob("*/raw_*")), "what only the making needed is removed"


def test_a_table_dir_that_is_a_file_is_named(files, tmp_path):
    message = r"table_dir: must be a folder, got the file .*captions.json\. Name a folder; a new one is made\.$"
    with pytest.raises(DataError, match=message):
        build(tmp_path, {**files, "table_dir": str(tmp_path / "captions.json")})


def test_a_changed_file_is_converted_again(files, monkeypatch, tmp_path, caplog):
    build(tmp_path, files)
    made = counted(monkeypatch)
    content = json.loads((tmp_path / "captions.json").read_text())
    content["annotations"][0]["caption"] = "another one"
    (tmp_path / "captions.json").write_text(json.dumps(content))
    with caplog.at_level(logging.INFO):
        data = build(tmp_path, files)
    assert texts(data)[0] == "another one" and len(made) == 1
    assert caplog.text.count("its files have changed") == 3, "what is joined with the captions is made again as well"


def test_a_conversion_that_fails_leaves_nothing_and_the_table_of_before_stays(files, monkeypatch, tmp_path):
    data = build(tmp_path, files)
    before = sorted(os.listdir(tmp_path / "tables"))
    (tmp_path / "captions.json").write_text('{"images": [], "annotations": [{"id": 1, "image_id": 1, "cap')
    with pytest.raises(DataError, match="dataset.ann_file: .*is not JSON"):
        build(tmp_path, files)
    assert sorted(os.listdir(tmp_path / "tables")) == before and len(texts(data)) == 3


@pytest.mark.parametrize("name", ["meta.json", "text.npy", "text_ends.npy", "image.npy", "image_id.npy"])
def test_a_damaged_table_is_made_again(name, files, tmp_path, caplog):
    expected = texts(build(tmp_path, files))
    file = tables(tmp_path)["captions"] / name
    file.write_bytes(file.read_bytes()[:-1] if name != "meta.json" else b"[")
    assert texts(build(tmp_path, files)) == expected and "it is no table" in caplog.text


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("captions", "image", 12_345, "image must be from 0 below 13"),
        ("captions", "image", -1, "image must be from 0 below 13"),
        ("boxes", "group", 1 << 30, "group must be from -1 below"),
        ("boxes", "region", -2, "region must be from -1 below"),
        ("boxes", "boxed", 40, "boxed must be from 0 below 40"),
        ("boxes", "ends", 1 << 40, "does not ascend|image has"),
        ("boxes", "region_ends", -5, "does not ascend|region has"),
        ("descriptions", "place", 1 << 40, "place must be from 0 below"),
    ],
)
def test_a_table_made_by_hand_that_leads_nowhere_is_refused(table, column, value, message, files, tmp_path):
    build(tmp_path, files)
    folder = tables(tmp_path)[table]
    array = np.load(folder / f"{column}.npy")
    array[-1] = value
    np.save(folder / f"{column}.npy", array)
    with pytest.raises(DataError, match=rf"{folder}: the table is damaged: .*({message}).*Remove this folder"):
        build(tmp_path, files)


def test_bytes_that_are_no_text_are_named_when_they_are_read(files, tmp_path):
    build(tmp_path, files)
    file = tables(tmp_path)["captions"] / "text.npy"
    array = np.load(file)
    array[:] = 0xC0
    np.save(file, array)
    with pytest.raises(DataError, match="the table is damaged: text of row 0 is no text"):
        texts(build(tmp_path, files))


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("captions", "dataset.ann_file"),
        ("instances", "instances_file"),
        ("regions", "regions_file"),
        ("descriptions", "descriptions_file"),
    ],
)
def test_a_missing_file_is_named_with_its_own_setting(name, setting, files, tmp_path):
    (tmp_path / f"{name}.json").unlink()
    message = rf"^RegionCaptionDataset\.{setting}: .*{name}\.json cannot be read: No such file.*Correct the path\.$"
    with pytest.raises(DataError, match=message):
        build(tmp_path, files)


def rewritten(tmp_path, name, change):
    content = json.loads((tmp_path / f"{name}.json").read_text())
    change(content)
    (tmp_path / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "captions",
            lambda c: c["images"].append({**c["images"][1], "coco_url": "x/y"}),
            r"images\[13\]: id .* is that",
        ),
        ("captions", lambda c: c["annotations"][3].update(image_id=1), "image_id 1, which no image has"),
        ("captions", lambda c: c["annotations"][3].pop("caption"), "an entry has no caption, got"),
        ("captions", lambda c: c["annotations"].append(c["annotations"][0]), "caption id 1000 is that of an earlier"),
        ("captions", lambda c: c["annotations"].clear(), "has no captions"),
        ("captions", lambda c: c["images"][0].update(id="a1"), "in a table ids are whole numbers below 2.63, got 'a1'"),
        ("captions", lambda c: c["images"][0].update(coco_url=3), "coco_url must be a text, got '3'"),
        ("instances", lambda c: c["annotations"].append(c["annotations"][0]), "instance id 0 is used twice"),
        ("instances", lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), "the last two 0 or more"),
        ("instances", lambda c: c["annotations"][0].pop("bbox"), "does not hold COCO instances"),
        ("instances", lambda c: [a.update(image_id=10**7) for a in c["annotations"]], "none of its ids of images"),
        ("regions", lambda c: c.update({"100": "x"}), "does not hold regions"),
        ("descriptions", lambda c: c[0]["regions"][0].pop("x"), "does not hold region descriptions"),
    ],
)
def test_faults_of_files_are_those_without_tables(name, change, message, files, tmp_path):
    rewritten(tmp_path, name, change)
    with pytest.raises(DataError, match=message):
        build(tmp_path, files)


def test_an_id_of_regions_that_comes_again_in_another_piece_is_refused(files, monkeypatch, tmp_path):
    monkeypatch.setattr("bus_toolkit.data.tables.json_stream._PIECE", 64)
    text = (tmp_path / "regions.json").read_text().rstrip()
    (tmp_path / "regions.json").write_text(text[:-1] + ', "77": [0]}')
    with pytest.raises(DataError, match="regions_file: .*caption id 77 occurs twice"):
        build(tmp_path, files)


def test_settings_that_no_table_has_are_refused(files, tmp_path):
    with pytest.raises(DataError, match="table_dir: a table is made of what mmpretrain.COCORetrieval reads.*test_mode"):
        RegionCaptionDataset({**reader(tmp_path), "test_mode": True}, table_dir=str(tmp_path))
    with pytest.raises(DataError, match="belong together"):
        build(tmp_path, files, regions_file=None)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="table_dir: .*cannot be written"):
        build(tmp_path, files, table_dir=str(tmp_path / "file" / "x"))
