"""Streams: each pass of a source is all of it, over any number of ranks, from any place."""

import itertools

import numpy as np
import pytest
from mmengine.dataset import InfiniteSampler

from bus_toolkit.data.datasets.mixed_sources import MixedSources
from bus_toolkit.data.samplers import shard_samplers, source_streams
from bus_toolkit.data.samplers.source_streams import MixedRows, source_stream
from bus_toolkit.errors import DataError
from tests.data.plain_rows import mixed, plain, sampler_of
from tests.data.shards.tiny_shards import PIPELINE, write_shards_of


@pytest.fixture
def ranks(monkeypatch):
    """Return a function that calls ``make`` as each rank and returns what the ranks got."""

    def run(world_size, make):
        results = []
        for rank in range(world_size):
            for module in (source_streams, shard_samplers):
                monkeypatch.setattr(module, "get_dist_info", lambda rank=rank: (rank, world_size))
            results.append(make())
        return results

    return run


def first(stream, count, start=0):
    return list(itertools.islice(stream.rows_from(start), count))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_a_pass_is_split_over_the_ranks_without_overlap_or_loss(ranks, world_size):
    data = mixed(a=4, b=11)
    streams = ranks(world_size, lambda: source_stream(data, "b", 3, 8))
    # 11 passes of 11 rows: a whole number of turns for any of the ranks' counts.
    turns = [first(stream, 6 * 11 // world_size) for stream in streams]
    order = [row for turn in zip(*turns, strict=True) for row in turn]
    passes = [order[i : i + 11] for i in range(0, len(order), 11)]
    assert len(passes) == 6 and all(sorted(one) == list(range(4, 15)) for one in passes)
    assert len({tuple(one) for one in passes}) == 6, "each pass is shuffled again"


def test_the_ranks_share_one_stream_whatever_their_number(ranks):
    data = mixed(a=7)
    [alone] = ranks(1, lambda: first(source_stream(data, "a", 3, 8), 60))
    for world_size in (2, 3):
        parts = ranks(world_size, lambda w=world_size: first(source_stream(data, "a", 3, 8), 60 // w))
        assert [row for turn in zip(*parts, strict=True) for row in turn] == alone


def test_a_stream_goes_on_from_any_place(ranks):
    data = mixed(a=7)
    for stream in ranks(2, lambda: source_stream(data, "a", 3, 8)):
        whole = first(stream, 50)
        for start in (0, 3, 7, 26):
            assert first(stream, 10, start) == whole[start : start + 10]


def test_seed_and_name_decide_the_order():
    data = mixed(a=20, b=20)
    a, b = (first(source_stream(data, name, 3, 8), 20) for name in "ab")
    assert a == first(source_stream(data, "a", 3, 8), 20) != first(source_stream(data, "a", 4, 8), 20)
    assert a != [row - 20 for row in b], "two sources of one size have orders of their own"
    alone = mixed(x=1, a=20)
    assert [row - 1 for row in first(source_stream(alone, "a", 3, 8), 20)] == a, "other sources do not change it"


def test_without_shuffling_rows_keep_their_order():
    assert first(source_stream(mixed(a=2, b=3), "b", None, 8), 7) == [2, 3, 4, 2, 3, 4, 2]


@pytest.fixture
def sharded(tmp_path):
    sizes = (5, 3, 7, 4, 6, 5)
    write_shards_of(tmp_path, sizes)
    shards = {"type": "bus_toolkit.ShardDataset", "shards": f"{tmp_path}/*.tar", "pipeline": PIPELINE}
    data = MixedSources({"other": plain("other", 10, side=16), "shards": {"dataset": shards}})
    return data, np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_shards_are_read_nearly_in_sequence_and_all_of_them(ranks, sharded, world_size):
    data, shard_of = sharded
    each = 30 // world_size
    runs = ranks(world_size, lambda: first(source_stream(data, "shards", 3, 1), 2 * each))
    for number in range(2):
        parts = [run[number * each : (number + 1) * each] for run in runs]
        assert sorted(sum(parts, [])) == list(range(10, 40))
        for part in parts:
            visited = [shard for shard, _ in itertools.groupby(shard_of[row - 10] for row in part)]
            assert len(visited) == len(set(visited)), "a shard is done before the next one"
    assert data[runs[0][0]]["data_samples"].text == f"square {runs[0][0] - 10}"


def rows_of(data, kind=None, **rows):
    sampler = sampler_of(data, kind) if kind else sampler_of(data)
    return MixedRows(sampler, rows, num_batches=3, buffer_shards=8)


def test_epochs_cut_one_stream_and_none_loses_a_row():
    data = mixed(a=10, b=4)
    rows = rows_of(data, a=3, b=1)
    order = []
    for epoch in range(20):
        rows.set_epoch(epoch)
        order += list(rows)
        assert len(order) == (epoch + 1) * len(rows) == (epoch + 1) * 12
    a, b = [row for row in order if row < 10], [row for row in order if row >= 10]
    assert all(sorted(a[i : i + 10]) == list(range(10)) for i in range(0, 180, 10))
    assert all(sorted(b[i : i + 4]) == list(range(10, 14)) for i in range(0, 60, 4))
    rows.set_epoch(5)
    assert list(rows) == order[60:72], "an epoch is the same again"
    assert list(itertools.islice(rows_of(data, InfiniteSampler, a=3, b=1), 240)) == order


def test_a_skip_leaves_out_the_beginning_of_any_epoch():
    data = mixed(a=10, b=4)
    whole = list(itertools.islice(rows_of(data, InfiniteSampler, a=3, b=1), 96))
    for batches in (0, 2, 3):
        rows = rows_of(data, a=3, b=1)
        rows.skip(4 * batches)
        for epoch in (0, 2):
            rows.set_epoch(epoch)
            assert list(rows) == whole[12 * epoch + 4 * batches : 12 * (epoch + 1)]
    for batches in (2, 4):
        endless = rows_of(data, InfiniteSampler, a=3, b=1)
        endless.skip(4 * batches)
        assert list(itertools.islice(endless, 40)) == whole[4 * batches : 4 * batches + 40]
    with pytest.raises(DataError, match="MixedBatchSampler.skip: must be 0 or more, got -4"):
        rows_of(data, a=3, b=1).skip(-4)
