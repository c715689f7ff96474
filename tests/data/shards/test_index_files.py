import os
import pickle

import numpy as np
import pytest

from bus_toolkit.data.shards import index_files
from bus_toolkit.data.shards.index_files import index_file, load_index, load_indices
from bus_toolkit.data.shards.shard_indices import ShardSummary
from bus_toolkit.errors import DataError
from tests.data.shards.tiny_shards import boxed, pairs, write_tar


@pytest.fixture
def shard(tmp_path):
    return write_tar(tmp_path / "a.tar", [*pairs(range(3)), *boxed(3, [[0, 0, 1, 1]]), ("bare.png", b"x")])


@pytest.fixture
def reads(monkeypatch):
    """Count how often a shard is indexed."""
    paths = []
    monkeypatch.setattr(
        index_files, "read_index", lambda path, real=index_files.read_index: (paths.append(path), real(path))[1]
    )
    return paths


def same(one, two):
    arrays = ("names", "name_ends", "image", "text", "json", "boxed")
    return (one.stamp, one.left_out) == (two.stamp, two.left_out) and all(
        np.array_equal(getattr(one, name), getattr(two, name)) for name in arrays
    )


def test_a_shard_is_read_once(shard, reads):
    first = load_index(shard)
    assert same(load_index(shard), first) and len(reads) == 1
    assert sorted(p.name for p in shard.parent.iterdir()) == ["a.tar", "a.tar.index.npz"]


def test_a_changed_shard_is_indexed_again(shard, reads):
    assert len(load_index(shard)) == 4
    write_tar(shard, pairs(range(6)))
    assert len(load_index(shard)) == 6
    os.utime(shard, ns=(0, 0))
    assert len(load_index(shard)) == 6 and len(reads) == 3


def test_a_shard_of_the_same_size_and_time_is_indexed_again(shard, reads):
    first, before = load_index(shard), os.stat(shard)
    write_tar(shard, pairs(range(2)))
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy that keeps times; tars are padded
    assert os.stat(shard).st_size == before.st_size
    assert len(first) == 4 and len(load_index(shard)) == 2 and len(reads) == 2


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "version", "shapes", "beyond", "key"])
def test_a_damaged_index_is_made_again(shard, damage, reads, caplog):
    first = load_index(shard)
    file = index_file(shard)
    with np.load(file) as content:
        arrays = dict(content)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage in ("text", "empty"):
        file.write_bytes(b"{}" if damage == "text" else b"")
    else:
        change = {
            "version": {
                "meta": np.frombuffer(bytes(arrays["meta"]).replace(b'"version": 2', b'"version": 9'), np.uint8)
            },
            "shapes": {"text": arrays["text"][:2]},
            "beyond": {"image": arrays["image"] + 10**6},
            "key": {"other": arrays.pop("json")},
        }[damage]
        np.savez(file, **{**arrays, **change})
    assert same(load_index(shard), first) and len(reads) == 2
    assert "is no index" in caplog.text
    assert same(load_index(shard), first) and len(reads) == 2


def test_nothing_is_unpickled(shard, reads):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(shard.parent / "hit"),)

    first = load_index(shard)
    with np.load(index_file(shard)) as content:
        arrays = dict(content)
    np.savez(index_file(shard), **{**arrays, "names": np.array([Attack()], dtype=object)})
    assert same(load_index(shard), first)
    index_file(shard).write_bytes(pickle.dumps(Attack()))
    assert same(load_index(shard), first) and len(reads) == 3
    assert not (shard.parent / "hit").exists()


def test_indices_may_lie_in_a_folder_of_their_own(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name, count in (("one", 1), ("two", 2)):
        write_tar(tmp_path / name / "a.tar", pairs(range(count)))
    shards = [tmp_path / name / "a.tar" for name in ("one", "two")]
    for _ in range(2):
        assert [len(index) for index in load_indices(shards, str(tmp_path / "cache"))] == [1, 2]
    assert len(list((tmp_path / "cache").iterdir())) == 2 and len(list((tmp_path / "one").iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_only_time(shard, reads, caplog):
    (shard.parent / "file").touch()
    for _ in range(2):
        assert len(load_index(shard, str(shard.parent / "file" / "cache"))) == 4
    assert len(reads) == 2 and caplog.text.count("Set index_dir to a folder") == 1, "each folder is reported once"


def test_all_bad_shards_are_reported_at_once(tmp_path):
    paths = [write_tar(tmp_path / f"{i}.tar", pairs(range(2))) for i in range(3)]
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError) as error:
        load_indices(paths)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [str(path) for path in paths[:2]]
    assert not list(tmp_path.glob("[01].tar.index.npz"))


def test_processes_share_the_work_and_the_errors(tmp_path, monkeypatch, reads):
    paths = [write_tar(tmp_path / f"{i}.tar", pairs(range(i + 1))) for i in range(4)]
    monkeypatch.setattr(index_files, "get_dist_info", lambda: (1, 2))
    monkeypatch.setattr(index_files, "is_distributed", lambda: True)

    def gather(own):
        assert reads == paths[1::2] and set(own[0]) == {1, 3}, "the shards of this rank"
        others = {place: ShardSummary.of(load_index(paths[place])) for place in (0, 2)}
        return [(others, []), own]

    monkeypatch.setattr(index_files, "all_gather_object", gather)
    assert [len(index) for index in load_indices(paths)] == [1, 2, 3, 4] and len(reads) == 4
    monkeypatch.setattr(index_files, "all_gather_object", lambda own: [({}, ["0.tar: broken"]), own])
    with pytest.raises(DataError, match="0.tar: broken"):
        load_indices(paths)


def _rewritten(file, **changed):
    """Write an index file again with other arrays, compressed or not as NumPy does."""
    with np.load(file) as content:
        arrays = {name: content[name] for name in content.files}
    for name, change in changed.items():
        arrays[name] = change(arrays[name])
    np.savez_compressed(file, **arrays)


def _first(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


@pytest.mark.parametrize(
    "changed",
    [
        {"image": _first(-2)},
        {"image": _first(2**62)},
        {"text": _first(100)},
        {"name_ends": _first(0)},
        {"name_ends": _first(10_000)},
        {"json": lambda array: array.astype(np.float64)},
        {"names": lambda array: np.zeros(1 << 20, np.uint8)},
        {"boxed": lambda array: array[:1]},
    ],
)
def test_an_index_that_leads_out_of_its_shard_is_made_again(shard, changed, reads, caplog):
    first = load_index(shard)
    _rewritten(index_file(shard), **changed)
    assert same(load_index(shard), first) and len(reads) == 2
    assert "is no index" in caplog.text


@pytest.mark.parametrize("place", range(40, 400, 40))
def test_an_index_with_damaged_bytes_is_made_again(shard, place, caplog):
    first = load_index(shard)
    file = index_file(shard)
    content = bytearray(file.read_bytes())
    content[place : place + 8] = b"\xa5" * 8
    file.write_bytes(content)
    assert same(load_index(shard), first)
