"""A folder a class: labels in the order of the folders, names of one's own, and what is refused."""

from __future__ import annotations

import pytest
from PIL import Image

from bus_toolkit.data import LabelledImages
from bus_toolkit.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def reader(folder):
    return {"type": "mmpretrain.CustomDataset", "data_root": str(folder)}


def test_the_folders_are_the_classes(folder) -> None:
    data = LabelledImages(reader(folder))
    rows = [data.get_data_info(row) for row in range(len(data))]
    assert [(row["gt_label"], row["text"], row["image_id"]) for row in rows] == [
        (0, "cat", 0),
        (0, "cat", 1),
        (1, "dog", 2),
        (1, "dog", 3),
    ]
    assert data.metainfo["classes"] == ["cat", "dog"]


def test_names_come_from_a_list_or_a_file(folder, tmp_path) -> None:
    (tmp_path / "names.txt").write_text("a cat\n\na dog\n")
    for names in (["a cat", "a dog"], str(tmp_path / "names.txt")):
        assert LabelledImages(reader(folder), class_names=names).get_data_info(3)["text"] == "a dog"
    assert LabelledImages(reader(folder), class_names={"1": "a dog"}).class_names == ["cat", "a dog"]


def test_folders_named_by_numbers_are_in_the_order_of_these(tmp_path) -> None:
    for number in (0, 1, 2, 10):  # as text, 10 is before 2: modestyachts/ImageNetV2#10
        (tmp_path / str(number)).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / str(number) / "image.png")
    for settings in ({}, {"classes": ["zero", "one", "two", "ten"]}):
        data = LabelledImages(
            {**reader(tmp_path), **settings}, class_names=None if settings else ["zero", "one", "two", "ten"]
        )
        seen = {info["img_path"].split("/")[-2]: info for info in map(data.get_data_info, range(4))}
        assert {folder: info["text"] for folder, info in seen.items()} == {
            "0": "zero",
            "1": "one",
            "2": "two",
            "10": "ten",
        }
        assert [seen[folder]["gt_label"] for folder in ("0", "1", "2", "10")] == [0, 1, 2, 3]
    assert LabelledImages(reader(tmp_path)).class_names == ["0", "1", "2", "10"]


def test_a_name_without_a_folder_is_refused(folder) -> None:
    names = ["cat", "cow", "dog"]  # without a folder for cows, dogs would be cows
    with pytest.raises(DataError, match="needs 2 names, one for each class of the reader, got 3.*make an empty folder"):
        LabelledImages(reader(folder), class_names=names)
    (folder / "cow").mkdir()
    assert LabelledImages(reader(folder), class_names=names).get_data_info(3)["text"] == "dog"


def test_what_cannot_be_read_is_said(folder, tmp_path) -> None:
    with pytest.raises(DataError, match="class_names: needs 2 names, one for each class of the reader, got 1"):
        LabelledImages(reader(folder), class_names=["cat"])
    with pytest.raises(DataError, match="LabelledImages.class_names: labels are 0 to 1, got '2'"):
        LabelledImages(reader(folder), class_names={"2": "a dog"})
    with pytest.raises(DataError, match="LabelledImages.dataset: cannot read .*nowhere"):
        LabelledImages(reader(tmp_path / "nowhere"))
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="not the files that mmpretrain.CustomDataset reads"):
        LabelledImages(reader(tmp_path / "empty"))
    with pytest.raises(DataError, match="not the files that mmpretrain.ImageNet reads .*number of subfolders"):
        LabelledImages({"type": "mmpretrain.ImageNet", "data_root": str(folder)})
