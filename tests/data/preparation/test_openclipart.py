import json

import pytest

from bus_toolkit.data.preparation.openclipart import prepare_openclipart
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.errors import DataError
from tests.data.preparation.tiny_clipart import drawings, package_members, png, svg
from tests.data.preparation.tiny_deb import deb, link

SIZES = {"num_test": 6, "num_val": 3, "longest_side": 16}


def all_drawings():
    """30 drawings with titles, 6 of a collection, and one of each kind that is left out."""
    pictures = drawings(30)
    for number, name in enumerate("knife spoon fork plate bowl cup".split()):
        pictures[f"kitchen/{name}_01"] = (svg("Kitchen theme"), png(100 + number))
    pictures["bad/again"] = (svg("the same once more"), png(0))
    pictures["bad/broken"] = (b"<svg", png(200))
    pictures["bad/entity"] = (b'<!DOCTYPE svg [<!ENTITY a "x">]>' + svg("entity"), png(201))
    pictures["bad/blank"] = (svg("a blank page"), png(202)[:40])
    pictures["bad/07"] = (svg(""), png(203))
    return pictures


@pytest.fixture
def packages(tmp_path):
    (tmp_path / "debs").mkdir()
    for kind in ("svg", "png"):
        members = package_members(all_drawings(), kind)
        if kind == "png":  # The packages link equal pictures to one of them, each in its own way.
            members["./usr/share/openclipart/png/bad/again.png"] = link("../things/thing_jo_000.png")
        (tmp_path / "debs" / f"openclipart-{kind}_1.0_all.deb").write_bytes(deb(members))
    return tmp_path / "debs"


def read(folder):
    data = ShardDataset(f"{folder}/*.tar")
    return [data.get_data_info(row) for row in range(len(data))]


def test_packages_become_shards_in_three_splits(packages, tmp_path):
    manifest, is_new = prepare_openclipart(packages, tmp_path / "out", **SIZES)
    rows = {split: read(tmp_path / "out" / split) for split in ("train", "val", "test")}
    assert is_new and [len(rows[split]) for split in ("train", "val", "test")] == [27, 3, 6]
    counts = manifest["counts"]
    assert counts["SVG files"] == 41 and counts["PNG files"] == 40
    assert counts["SVG unreadable, or with entities"] == 2 and counts["without a text"] == 1
    assert counts["left out: same picture as another"] == 1 and counts["left out: no readable picture"] == 1
    assert counts["train: pairs"] == 27 and counts["train: text is a title"] == 21
    texts = {split: {row["text"] for row in listed} for split, listed in rows.items()}
    assert {"knife", "cup"} <= texts["train"] and "the same once more" not in set.union(*texts.values())
    assert not texts["train"] & (texts["val"] | texts["test"]) and not texts["val"] & texts["test"]
    assert len({row["image_id"] for listed in rows.values() for row in listed}) == 36


def test_the_same_packages_give_the_same_bytes_and_are_not_read_twice(packages, tmp_path):
    first, _ = prepare_openclipart(packages, tmp_path / "a", **SIZES)
    assert prepare_openclipart(packages, tmp_path / "a", **SIZES) == (first, False)
    again, is_new = prepare_openclipart(packages, tmp_path / "b", **SIZES)
    assert is_new and again["files"] == first["files"] and len(first["files"]) == 3


def test_installed_files_give_the_same_pairs_as_the_packages(packages, tmp_path):
    root = tmp_path / "usr" / "share" / "openclipart"
    for kind in ("svg", "png"):
        for path, content in package_members(all_drawings(), kind).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)
    first, _ = prepare_openclipart(packages, tmp_path / "a", **SIZES)
    for number, source in enumerate((root, tmp_path)):
        assert prepare_openclipart(source, tmp_path / f"b{number}", **SIZES)[0]["files"] == first["files"]


def test_the_record_keeps_what_people_wrote(packages, tmp_path):
    prepare_openclipart(packages, tmp_path / "out", **SIZES)
    (shard,) = (tmp_path / "out" / "train").glob("*.tar")
    lines = [line for line in shard.read_bytes().split(b"\0") if line.startswith(b'{"caption": "knife"')]
    record = json.loads(lines[0])
    assert record["title"] == "Kitchen theme" and record["text_source"] == "name"
    assert record["path"] == "kitchen/knife_01" and record["tags"] == []


def test_titles_only_leaves_collections_out(packages, tmp_path):
    manifest, _ = prepare_openclipart(packages, tmp_path / "out", titles_only=True, **SIZES)
    assert manifest["counts"]["train: pairs"] == 21
    assert manifest["counts"]["left out: title names a collection"] == 6


def test_what_is_missing_is_reported_with_how_to_get_it(packages, tmp_path):
    with pytest.raises(
        DataError, match="missing: openclipart-svg, openclipart-png. .*apt-get download openclipart-svg"
    ):
        prepare_openclipart(tmp_path / "none", tmp_path / "out", **SIZES)
    (packages / "openclipart-png_1.0_all.deb").unlink()
    with pytest.raises(DataError, match="missing: openclipart-png. "):
        prepare_openclipart(packages, tmp_path / "out", **SIZES)
    assert not (tmp_path / "out").exists()


def test_too_few_pairs_leave_nothing_behind(packages, tmp_path):
    with pytest.raises(DataError, match="30 of 36 pairs have a title of their own, 30 [+] 3 are to be held out"):
        prepare_openclipart(packages, tmp_path / "out", num_test=30, num_val=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["debs"]
