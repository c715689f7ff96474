import os
import pickle
import tarfile

import pytest
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader

from bus_toolkit.data.datasets.bad_samples import TooManyBadSamples
from bus_toolkit.data.samplers.region_batch_sampler import RegionBatchSampler, RegionRow
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS
from tests.data.shards.tiny_shards import PIPELINE, boxed, build, pairs, picture, write_shards_of, write_tar


def test_every_sample_is_found_by_its_number(tmp_path):
    write_shards_of(tmp_path, [3, 0, 1, 4])
    data = build(tmp_path / "train-{000..003}.tar")
    assert len(data) == 8 and data.shard_sizes.tolist() == [3, 0, 1, 4] and data.boxed_indices.tolist() == []
    for number in (7, 0, 3, 2, 4, 1, 5, 6):
        packed = data[number]
        sample = packed["data_samples"]
        assert packed["inputs"].shape == (3, 16, 16) and packed["inputs"].unique().tolist() == [number]
        assert (sample.text, sample.text_id) == (f"square {number}", number)
        assert sample.img_path.endswith(f".tar::{number:04d}.png") and "img_bytes" not in sample


def test_is_built_by_name_and_survives_a_pickle(tmp_path):
    write_shards_of(tmp_path, [2])
    data = DATASETS.build({"type": "bus_toolkit.ShardDataset", "shards": f"{tmp_path}/*.tar", "pipeline": PIPELINE})
    data[0]
    assert pickle.loads(pickle.dumps(data))[1]["data_samples"].text == "square 1"


def test_boxes_and_names_come_from_the_json(tmp_path):
    shard = write_tar(
        tmp_path / "a.tar",
        [
            *boxed(0, [[0, 2, 4, 8], [4, 2, 40, 8], [12, 12, 0, 4]], named=[False, True, True], image_id=5),
            *pairs([1]),
            *boxed(2, [[1, 1, 2, 2]]),
        ],
    )
    data = build(shard)
    sample = data[0]["data_samples"]
    assert sample.gt_boxes.tolist() == [[0, 2, 4, 10], [4, 2, 16, 10]] and sample.named.tolist() == [False, True]
    assert sample.image_id == 5 and data[1]["data_samples"].image_id > 2**40 != data[2]["data_samples"].image_id
    assert data.boxed_indices.tolist() == [0, 2] and "gt_boxes" not in data[1]["data_samples"]
    batches = list(RegionBatchSampler(DefaultSampler(data, shuffle=False), 3, region_batch_size=2))
    assert batches[0][:3] == [0, 1, 2] and sorted(batches[0][3:]) == [0, 2]
    assert data[RegionRow(2)]["data_samples"].region_only
    without = build(shard, [PIPELINE[0], {"type": "mmpretrain.CenterCrop", "crop_size": 8}], with_boxes=False)
    assert without.boxed_indices.tolist() == [] and "gt_bboxes" not in without[0]


def test_a_txt_goes_before_the_caption_of_the_json(tmp_path):
    members = [("a.png", picture(1)), ("a.txt", b" from txt \n"), ("a.json", b'{"caption": "from json", "url": "x"}')]
    assert build(write_tar(tmp_path / "a.tar", members))[0]["data_samples"].text == "from txt"


BAD = {
    "truncated image": ([("9.jpg", picture(9, "jpg")[:200]), ("9.txt", b"a")], "9.jpg: the image cannot be decoded"),
    "empty image": ([("9.jpg", b""), ("9.txt", b"a")], "9.jpg: the image has 0 bytes"),
    "no image": ([("9.jpg", b"<html>"), ("9.txt", b"a")], "9.jpg: the image cannot be decoded"),
    "bad json": ([("9.png", picture(9)), ("9.json", b'{"caption": "a"')], "9.png: the json is no JSON"),
    "bad boxes": (boxed(9, [[0, 0, 1]]), "json boxes must be"),
    "no caption": ([("9.png", picture(9)), ("9.json", b"{}")], "9.png: the caption is not text, got None"),
    "empty caption": ([("9.png", picture(9)), ("9.txt", b" \n")], "9.png: the caption is empty"),
    "no utf-8": ([("9.png", picture(9)), ("9.txt", b"\xff")], "9.png: 'utf-8' codec"),
}


@pytest.mark.parametrize(("members", "reason"), BAD.values(), ids=BAD)
def test_a_bad_sample_is_counted_and_another_takes_its_place(tmp_path, members, reason, caplog):
    shard = write_tar(tmp_path / "a.tar", [*members, *pairs([1])])
    data = build(shard)
    assert len(data) == 2 and data[0]["data_samples"].text == "square 1"
    assert data.bad.count == 1 and f"{shard}::" in caplog.text and reason in caplog.text
    with pytest.raises(TooManyBadSamples, match="1 bad samples, the limit is 0"):
        build(shard, max_bad_samples=0)[0]


def test_members_without_a_sample_are_reported_and_limited(tmp_path, caplog):
    shard = write_tar(tmp_path / "a.tar", [*pairs([1]), ("2.png", picture(2)), ("3.txt", b"a")])
    assert len(build(shard)) == 1
    assert "2 members belong to no sample" in caplog.text and f"{shard}::2.png: no txt or json" in caplog.text
    with pytest.raises(DataError, match=r"2 members belong to no sample.*The limit is 1\..*--verify"):
        build(shard, max_bad_samples=1)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ([{"type": "mmpretrain.LoadImageFromFile"}], "pipeline.0: LoadImageFromFile reads a file.*LoadImageFromBytes"),
        ([{"type": "bus_toolkit.LoadImage"}], "pipeline.0: LoadImage reads a file.*Use LoadImageFromBytes"),
        ([*PIPELINE[:1], {"type": "mmpretrain.CenterCrop"}], "pipeline.1: CenterCrop moves.*set with_boxes to false"),
    ],
)
def test_transforms_that_do_not_fit_are_refused(tmp_path, pipeline, message):
    with pytest.raises(DataError, match=message):
        build(write_tar(tmp_path / "a.tar", boxed(0, [[0, 0, 1, 1]])), pipeline)


def test_shards_without_a_sample_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 shards without a sample.*bus-toolkit shards"):
        build(write_tar(tmp_path / "a.tar", []))


def test_a_shard_without_a_sample_among_others_is_named(tmp_path, caplog):
    empty = write_tar(tmp_path / "b.tar", [])
    assert len(build([str(write_tar(tmp_path / "a.tar", pairs([1]))), str(empty)])) == 1
    assert f"1 of 2 shards have no sample, e.g. {empty}" in caplog.text


def test_a_shard_that_changes_during_a_run_is_reported(tmp_path):
    [shard] = write_shards_of(tmp_path, [2])
    data = build(shard)
    write_shards_of(tmp_path, [3])
    with pytest.raises(DataError, match="changed since it was indexed"):
        data[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_the_same_after_the_parent_did(tmp_path, workers):
    write_shards_of(tmp_path, [5, 6, 7])
    data = build(f"{tmp_path}/*.tar")
    data[3]  # the file is open when the workers start
    loader = DataLoader(data, batch_size=4, num_workers=workers, collate_fn=list)
    rows = [row for batch in loader for row in batch]
    assert [row["data_samples"].text for row in rows] == [f"square {n}" for n in range(18)]
    assert [int(row["inputs"][0, 0, 0]) for row in rows] == list(range(18))


def test_an_index_of_another_shard_is_not_trusted(tmp_path):
    shard = write_tar(tmp_path / "a.tar", pairs([1, 2]))
    data, before = build(shard), os.stat(shard)
    assert data.reader._indices[0]  # it is read before the shard is replaced
    write_tar(shard, [("0001.txt", b"a caption that is longer, by far"), ("0001.png", picture(1)), *pairs([2])])
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"a.tar: at byte 512 must be a member of '0001' with \d+ bytes, and none is"):
        data[0]


def test_names_of_any_alphabet_and_length_are_read(tmp_path):
    names = ["strand", "stränd", "浜辺", f"{'deep/' * 30}beach"]
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        members = [
            (f"{name}.{kind}", picture(7) if kind == "png" else b"a beach") for name in names for kind in ("png", "txt")
        ]
        data = build(write_tar(tmp_path / f"{format}.tar", members, format=format))
        assert [data[row]["data_samples"].text for row in range(4)] == ["a beach"] * 4


def test_shards_of_dotted_names_alone_say_why_they_have_no_sample(tmp_path):
    shard = write_tar(tmp_path / "a.tar", [("22.05.jpg", b"x"), ("22.05.txt", b"x")])
    with pytest.raises(
        DataError, match="without a sample.* first of 2 members .*22.05.jpg: its key ends at the first dot"
    ):
        build(shard)
