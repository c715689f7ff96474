import json
import tarfile
from pathlib import Path

import pytest

from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.shards.shard_sources import SourceSample, pairs_of_coco, pairs_of_folder
from bus_toolkit.data.shards.write_shards import write_shards
from bus_toolkit.errors import DataError
from tests.data.shards.tiny_shards import PIPELINE, build, picture


@pytest.fixture
def photos(tmp_path):
    """Seven images in two folders, with txt, json, or both."""
    root = tmp_path / "photos"
    for number in range(7):
        path = root / f"part{number % 2}" / f"img.{number}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
        if number != 3:
            path.with_suffix(".txt").write_text(f"square {number}")
        if number >= 3:
            path.with_suffix(".json").write_text(json.dumps({"caption": "j", "boxes": [[0, 0, 4, 4]]}))
    return root


def test_a_folder_becomes_shards_that_read_back(photos, tmp_path):
    written = write_shards(pairs_of_folder(str(photos)), tmp_path / "out" / "train", samples_per_shard=3)
    assert [path.name for path in written] == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["train", *(p.name for p in written)]
    data = build(written)
    assert data.shard_sizes.tolist() == [3, 3, 1]
    samples = {int(row["inputs"][0, 0, 0]): row["data_samples"] for row in (data[i] for i in range(7))}
    assert [samples[n].text for n in range(7)] == [f"square {n}" if n != 3 else "j" for n in range(7)]
    assert [n for n in range(7) if "gt_boxes" in samples[n]] == [3, 4, 5, 6]
    with tarfile.open(written[0]) as tar:
        names = tar.getnames()
    assert names[:2] == ["000000000.png", "000000000.txt"], "keys have no dots, whatever the files are called"


def test_the_same_pairs_give_the_same_bytes(photos, tmp_path):
    one, two = (write_shards(pairs_of_folder(str(photos)), tmp_path / f / "s", samples_per_shard=4) for f in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_shard_ends_before_it_grows_too_large(photos, tmp_path):
    samples = pairs_of_folder(str(photos))[:4]
    sizes = [s.image.stat().st_size + sum(map(len, s.texts.values())) for s in samples]
    written = write_shards(samples, tmp_path / "s", max_bytes=sum(sizes[:3]))
    assert build(written).shard_sizes.tolist() == [3, 1]
    assert len(write_shards(samples, tmp_path / "t", max_bytes=1)) == 4


def test_captions_with_boxes_become_what_they_were(tmp_path):
    (tmp_path / "images").mkdir()
    for image in (10, 20):
        (tmp_path / "images" / f"{image}.png").write_bytes(picture(image))
    content = {
        "captions": {
            "images": [{"id": i, "coco_url": f"http://x/images/{i}.png"} for i in (10, 20)],
            "annotations": [{"id": 100 + i, "image_id": 10 * (i // 2 + 1), "caption": f"été {i}"} for i in range(4)],
        },
        "instances": {"annotations": [{"id": i, "image_id": 10, "bbox": [0.37 + i, 2, 4.13, 8.01]} for i in range(2)]},
        "regions": {"100": [0], "101": [1]},
    }
    files = {name: str(tmp_path / f"{name}.json") for name in content}
    for name, path in files.items():
        Path(path).write_text(json.dumps(content[name]))
    boxes = {"instances": files["instances"], "regions": files["regions"]}
    written = write_shards(pairs_of_coco(str(tmp_path), files["captions"], **boxes), tmp_path / "out")
    shards = build(written)
    source = RegionCaptionDataset(
        {"type": "mmpretrain.COCORetrieval", "data_root": str(tmp_path), "ann_file": "captions.json"},
        [{"type": "mmpretrain.LoadImageFromFile"}, PIPELINE[1]],
        instances_file=files["instances"],
        regions_file=files["regions"],
    )
    assert len(shards) == len(source) == 4 and shards.boxed_indices.tolist() == source.boxed_indices == [0, 1]
    for index in range(4):
        ours, theirs = shards[index]["data_samples"], source[index]["data_samples"]
        assert ours.text == theirs.text and (shards[index]["inputs"] == source[index]["inputs"]).all()
        assert ours.image_id == (10, 10, 20, 20)[index]
        if index < 2:
            assert (ours.gt_boxes - theirs.gt_boxes).abs().max() < 1e-3
            assert ours.named.tolist() == theirs.named.tolist()


def test_a_folder_that_holds_something_is_left_alone(photos, tmp_path):
    with pytest.raises(DataError, match="photos: exists and is not an empty folder"):
        write_shards(pairs_of_folder(str(photos)), photos)


@pytest.mark.parametrize("fault", ["empty", "gone", "kind", "none"])
def test_a_source_that_cannot_be_written_leaves_nothing(photos, tmp_path, fault):
    samples = pairs_of_folder(str(photos))[:2]
    if fault == "empty":
        samples[1].image.write_bytes(b"")
    elif fault == "gone":
        samples[1].image.unlink()
    elif fault == "kind":
        samples[1] = SourceSample(photos / "a.gif", {"txt": b"a"})
    else:
        samples = []
    report = {"empty": "the image has 0 bytes", "gone": "cannot be read", "kind": "got 'gif'", "none": "no sample"}
    with pytest.raises(DataError, match=report[fault]):
        write_shards(samples, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_images_without_a_text_are_named(photos):
    (photos / "part0" / "img.0.txt").unlink()
    with pytest.raises(DataError, match=r"1 of 7 images have no .txt or .json .*img\.0\.PNG"):
        pairs_of_folder(str(photos))
    with pytest.raises(DataError, match="no image below this folder"):
        pairs_of_folder(str(photos / "none"))


def test_texts_without_an_image_are_counted(photos, caplog):
    (photos / "part0" / "lost.txt").write_text("a photo that is a gif")
    pairs_of_folder(str(photos))
    assert "1 .txt or .json files have no image (jpg, jpeg, png, webp) of the same name and are left out" in caplog.text
