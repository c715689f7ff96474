import os
import pickle

import pytest

from bus_toolkit.data.samplers.shard_samplers import ShardShuffleSampler
from bus_toolkit.data.shards import index_files
from bus_toolkit.data.shards.index_files import load_indices
from bus_toolkit.data.shards.shard_indices import ShardIndices
from bus_toolkit.errors import DataError
from tests.data.shards.tiny_shards import boxed, build, pairs, write_shards_of, write_tar


@pytest.fixture
def loaded(monkeypatch):
    """Name the shards whose index files are read."""
    names = []
    real = index_files.read_content
    monkeypatch.setattr(
        index_files, "read_content", lambda file, stamp: names.append(file.name[:3]) or real(file, stamp)
    )
    return names


def test_a_rank_reads_the_indices_of_its_own_run_of_shards_alone(tmp_path, loaded, monkeypatch):
    write_shards_of(tmp_path, [5] * 8)
    data = build(f"{tmp_path}/*.tar")
    monkeypatch.setattr("bus_toolkit.data.samplers.shard_samplers.get_dist_info", lambda: (1, 4))
    rows = list(ShardShuffleSampler(data, buffer_shards=2, seed=0))
    loaded.clear()
    texts = [data.get_data_info(row)["text"] for row in rows]
    assert len(rows) == 10 and texts == [f"square {row}" for row in rows]
    assert len(loaded) == len({row // 5 for row in rows}) == 2, "each once, and of the others none"


def test_few_indices_are_held_and_one_is_read_again(tmp_path, loaded, monkeypatch):
    monkeypatch.setattr(ShardIndices, "_AT_LEAST", 2)
    paths = write_shards_of(tmp_path, [3] * 4)
    load_indices(paths)
    loaded.clear()
    indices = load_indices(paths)
    assert len(loaded) == 4 and [summary.samples for summary in indices.summaries] == [3] * 4
    indices._most = 5
    for shard in (0, 1, 0, 2, 0, 1, 3):
        assert len(indices[shard]) == 3 and len(indices._recent) <= 2
    assert len(loaded) == 4 + 5, "1 was let go for 2, and then read again"
    assert [len(index) for index in indices[1:3]] == [3, 3]
    with pytest.raises(IndexError):
        indices[4]


def test_a_worker_that_is_spawned_gets_no_index(tmp_path):
    data = build(str(write_tar(tmp_path / "a.tar", pairs(range(250)))))
    data[0]
    data.bad = None
    copy = pickle.loads(pickle.dumps(data))
    assert len(pickle.dumps(data)) < 5_000 and copy.get_data_info(249)["text"] == "square 249"


def test_boxes_are_a_bit_a_sample(tmp_path):
    one = write_tar(tmp_path / "a.tar", pairs(range(11)))
    two = write_tar(tmp_path / "b.tar", [*pairs([11]), *boxed(12, [[0, 0, 1, 1]]), *pairs(range(13, 22))])
    three = write_tar(tmp_path / "c.tar", boxed(22, [[0, 0, 1, 1]]))
    indices = load_indices([one, two, three])
    assert [len(summary.boxed) for summary in indices.summaries] == [0, 2, 1]
    assert build([str(one), str(two), str(three)]).boxed_indices.tolist() == [12, 22]


def test_a_shard_that_was_replaced_before_its_index_was_read_is_reported(tmp_path):
    paths = write_shards_of(tmp_path, [2, 3])
    indices = load_indices(paths)
    write_tar(paths[1], pairs(range(4)))
    os.utime(paths[1], ns=(1, 1))
    assert len(indices[0]) == 2
    with pytest.raises(DataError, match="has changed since it was indexed"):
        indices[1]


def test_indices_that_cannot_be_written_are_held(tmp_path, monkeypatch):
    paths = write_shards_of(tmp_path, [2, 3])
    (tmp_path / "file").touch()
    indices = load_indices(paths, str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(index_files, "read_index", None)
    assert [len(index) for index in indices] == [2, 3] == [len(index) for index in pickle.loads(pickle.dumps(indices))]
