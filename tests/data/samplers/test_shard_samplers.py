from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.data.samplers import shard_samplers
from bus_toolkit.data.samplers.shard_samplers import EndlessShardSampler, ShardShuffleSampler
from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.errors import DataError
from bus_toolkit.registry import HOOKS, MODELS
from tests.data.shards.tiny_shards import PIPELINE, build, write_shards_of
from tests.engine.tiny_run import tiny_config

SIZES = (5, 3, 0, 7, 4, 6, 5)  # 30 samples


class Shards:
    def __init__(self, sizes=SIZES):
        self.shard_sizes = list(sizes)

    def __len__(self):
        return sum(self.shard_sizes)


@pytest.fixture
def ranks(monkeypatch):
    """Return a function that makes the samplers of all ranks."""

    def make(world_size, dataset=None, kind=ShardShuffleSampler, epoch=0, **options):
        samplers = []
        for rank in range(world_size):
            monkeypatch.setattr(shard_samplers, "get_dist_info", lambda rank=rank: (rank, world_size))
            samplers.append(kind(dataset or Shards(), **{"seed": 3, "buffer_shards": 2, **options}))
            samplers[-1].set_epoch(epoch)
        return samplers

    return make


@pytest.mark.parametrize("round_up", [True, False])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7, 40])
def test_the_ranks_share_all_samples(ranks, world_size, round_up):
    for epoch in range(3):
        samplers = ranks(world_size, epoch=epoch, round_up=round_up)
        runs = [list(sampler) for sampler in samplers]
        assert [len(run) for run in runs] == [len(sampler) for sampler in samplers]
        together = sum(runs, [])
        assert set(together) == set(range(30))
        if round_up:
            assert len({len(run) for run in runs}) == 1 and len(together) - 30 < world_size
        else:
            assert len(together) == 30


def test_seed_and_epoch_decide_the_order(ranks):
    [sampler] = ranks(1)
    first = list(sampler)
    assert list(sampler) == first == list(ranks(1)[0])
    assert first != list(ranks(1, seed=4)[0]) and first != list(ranks(1, epoch=1)[0])
    assert first != sorted(first)


def shard_of(number):
    ends = [sum(SIZES[: i + 1]) for i in range(len(SIZES))]
    return next(i for i, end in enumerate(ends) if number < end)


@pytest.mark.parametrize("buffer_shards", [1, 2, 3])
def test_a_buffer_mixes_a_few_shards_and_each_is_read_once(ranks, buffer_shards):
    [sampler] = ranks(1, buffer_shards=buffer_shards)
    visited, current = [], set()
    for number in sampler:
        shard = shard_of(number)
        if shard not in current:
            assert shard not in visited, "no shard is opened again once its buffer is done"
            if len(current) == buffer_shards:
                current = set()
            current.add(shard)
            visited.append(shard)
    assert sorted(visited) == [0, 1, 3, 4, 5, 6] and visited != sorted(visited)


def test_a_rank_reads_few_shards(ranks):
    data = Shards([10] * 12)
    for sampler in ranks(4, data):
        assert len({number // 10 for number in sampler}) == 3


def test_ranks_mix_differently(ranks):
    first, second = (list(s) for s in ranks(2, Shards([50, 50]), buffer_shards=1))
    assert [n % 50 for n in first] != [n % 50 for n in second]


def test_endless_epochs_follow_one_another_from_any_place(ranks):
    for sampler, finite in zip(ranks(3, kind=EndlessShardSampler), ranks(3), strict=True):
        stream = []
        for epoch in range(4):
            finite.set_epoch(epoch)
            stream += list(finite)
        assert len(sampler) == 10
        for start in (0, 4, 10, 23):
            sampler.skip(start)
            for _ in range(2):
                numbers = iter(sampler)
                assert [next(numbers) for _ in range(15)] == stream[start : start + 15]


def test_refuses_what_cannot_be_shuffled():
    with pytest.raises(DataError, match="ShardShuffleSampler: the data set has no shards, got list"):
        ShardShuffleSampler([1, 2])
    with pytest.raises(DataError, match="buffer_shards: must be 1 or more, got 0"):
        ShardShuffleSampler(Shards(), buffer_shards=0)
    with pytest.raises(DataError, match="skip: must be 0 or more, got -1"):
        EndlessShardSampler(Shards(), seed=0).skip(-1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    write_shards_of(folder, SIZES)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_loaders_of_all_ranks_read_the_whole_data_set(ranks, folder, world_size, workers):
    data = build(f"{folder}/*.tar")
    seen = []
    for sampler in ranks(world_size, data):
        rows = [
            row for batch in DataLoader(data, 4, sampler=sampler, num_workers=workers, collate_fn=list) for row in batch
        ]
        assert [row["data_samples"].text_id for row in rows] == list(sampler)
        assert all(int(row["inputs"][0, 0, 0]) == row["data_samples"].text_id for row in rows)
        seen += [row["data_samples"].text_id for row in rows]
    assert sorted(seen) == list(range(30)), "30 divides by 1, 2 and 3: nothing comes twice"


@MODELS.register_module(force=True)
class Indifferent(BaseModel):
    """Learns nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss_none": self.weight**2}


@HOOKS.register_module(force=True)
class SeenSamples(Hook):
    """Notes which samples each iteration got."""

    batches: list = []  # noqa: RUF012

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append([sample.text_id for sample in data_batch["data_samples"]])


def run(folder, work_dir, sampler, iterations, workers, resume=None):
    """Train so many iterations; return the samples of each that this call made."""
    config = tiny_config(work_dir)
    loader = config.train_dataloader
    loader.update(batch_size=4, num_workers=workers)
    loader.dataset = {"type": "bus_toolkit.ShardDataset", "shards": f"{folder}/*.tar", "pipeline": PIPELINE}
    loader.sampler = {"type": f"bus_toolkit.{sampler}", "buffer_shards": 2}
    if workers == 0:
        loader.batch_sampler = {"type": "bus_toolkit.RegionBatchSampler", "drop_last": False}
    config.model = {"type": "bus_toolkit.Indifferent"}
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": 1000}
    config.param_scheduler = None
    config.custom_hooks = [{"type": "bus_toolkit.SeenSamples"}]
    config.default_hooks = {
        "checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "by_epoch": False, "interval": 3}
    }
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    SeenSamples.batches = []
    runner = build_runner(config, RunOptions(work_dir=str(work_dir), resume=resume))
    runner.train()
    # Else the workers end with the garbage collector, which stops their queues first and then waits 5 s for each.
    runner.train_loop.dataloader_iterator._iterator = None
    return SeenSamples.batches


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("sampler", ["ShardShuffleSampler", "EndlessShardSampler"])
@pytest.mark.parametrize("stop", [3, 9])
def test_a_run_that_stops_in_mid_epoch_goes_on_with_the_samples_that_follow(
    folder, tmp_path, monkeypatch, sampler, workers, stop
):
    # An epoch of 30 samples has 8 batches of 4 or fewer; 9 lies in the second one. MMEngine waits between epochs.
    monkeypatch.setattr("mmengine.runner.loops.time", SimpleNamespace(sleep=lambda seconds: None))
    whole = run(folder, tmp_path / "whole", sampler, 12, workers)
    first = run(folder, tmp_path / "halves", sampler, stop, workers)
    second = run(folder, tmp_path / "halves", sampler, 12, workers, resume="latest")
    assert [sum(first, []), sum(second, [])] == [sum(whole[:stop], []), sum(whole[stop:], [])]
    assert len(second) == 12 - stop
    numbers = sum(first + second, [])
    assert sorted(numbers[:30]) == list(range(30)), "the first epoch is the whole data set"
