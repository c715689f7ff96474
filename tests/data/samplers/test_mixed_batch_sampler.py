"""Batches: shares, epochs, ranks, mistakes, and runs that stop and go on."""

import inspect
import random
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from bus_toolkit.data.samplers import mixed_batch_sampler as batch_sampler_module
from bus_toolkit.data.samplers import source_streams
from bus_toolkit.data.samplers.mixed_batch_sampler import mixed_batch_sampler, rows_a_batch
from bus_toolkit.data.samplers.shard_samplers import ShardShuffleSampler
from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.errors import DataError
from bus_toolkit.registry import HOOKS, MODELS
from tests.data.plain_rows import PlainRows, mixed, plain, sampler_of
from tests.engine.tiny_run import tiny_config


@pytest.mark.parametrize(
    ("weights", "batch_size", "rows"),
    [
        ({"a": 24, "b": 8}, 32, [24, 8]),  # weights that add up to the batch are its rows
        ({"a": 3, "b": 1}, 16, [12, 4]),
        ({"a": 0.95, "b": 0.05}, 32, [30, 2]),  # 30.4 and 1.6: the larger remainder is rounded up
        ({"a": 0.99, "b": 0.01}, 32, [31, 1]),  # 0.32 of a row is a row
        ({"a": 1000, "b": 1, "c": 1}, 3, [1, 1, 1]),
        ({"a": 0.5, "b": 0.3, "c": 0.2}, 10, [5, 3, 2]),
        ({"a": 1, "b": 1, "c": 1}, 8, [3, 3, 2]),  # ties go to the first
        ({"a": 1}, 5, [5]),
    ],
)
def test_a_batch_is_split_by_largest_remainder(weights, batch_size, rows):
    assert rows_a_batch(weights, batch_size) == dict(zip(weights, rows, strict=True))


def test_a_split_is_whole_and_within_a_row_of_the_share():
    draw = random.Random(0)
    for _ in range(300):
        weights = {f"s{i}": draw.uniform(0.01, 10) ** 2 for i in range(draw.randint(1, 6))}
        size = draw.randint(len(weights), 40)
        rows = rows_a_batch(weights, size)
        assert list(rows) == list(weights) and sum(rows.values()) == size and min(rows.values()) >= 1
        shares = {name: size * weight / sum(weights.values()) for name, weight in weights.items()}
        if min(shares.values()) >= 1:
            assert all(abs(rows[name] - shares[name]) < 1 for name in weights)


def batches_of(data, batch_size=4, sampler=None, epoch="longest", **weights):
    return mixed_batch_sampler(sampler or sampler_of(data), batch_size, weights=weights, epoch=epoch)


def test_every_batch_holds_its_share_of_every_source_in_order():
    data = mixed(a=30, b=3)
    batches = list(batches_of(data, a=3, b=1))
    assert len(batches) == 10
    for batch in batches:
        assert [index in data.rows_of("a") for index in batch] == [True, True, True, False]


@pytest.mark.parametrize(
    ("epoch", "length"), [("longest", 11), ("a", 11), ("b", 5), ("c", 1), (7, 7)]
)  # 35 rows by 3, 5 by 1, 1 by 2
def test_an_epoch_is_a_pass_of_a_source_or_a_number(epoch, length):
    batches = batches_of(mixed(a=35, b=5, c=1), 6, epoch=epoch, a=3, b=1, c=2)
    assert len(batches) == length == len(list(batches))


def test_all_ranks_hold_the_same_shares_and_together_the_batch_of_one(monkeypatch):
    data = mixed(a=35, b=5)
    for epoch in (0, 3):
        whole = batches_of(data, 12, a=8, b=4)
        whole.sampler.set_epoch(epoch)
        parts = []
        for rank in range(2):
            for module in (source_streams, batch_sampler_module):
                monkeypatch.setattr(module, "get_dist_info", lambda rank=rank: (rank, 2))
            parts.append(batches_of(data, 6, a=4, b=2))
            parts[-1].sampler.set_epoch(epoch)
        monkeypatch.undo()
        assert len(whole) == len(parts[0]) == len(parts[1]) == 4
        for one, *two in zip(whole, *parts, strict=True):
            # Row i of rank r is global row 2 i + r, within each source.
            turns = [row for pair in zip(*two, strict=True) for row in pair]
            assert turns == one


def test_the_log_reports_the_rows(caplog):
    with caplog.at_level("INFO"):
        batches_of(mixed(a=35, b=5), 32, a=0.95, b=0.05)
    assert "rows a batch on each rank: a 30, b 2; 2 batches an epoch" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": 1}, "weights: every source needs one, got none for b. Give it a share above 0"),
        ({"a": 1, "b": 1, "bb": 1}, "weights.bb: no such source. Did you mean 'b'.*Sources: a, b"),
        ({"a": 1, "b": 0}, "weights.b: must be a number above 0, got 0"),
        ({"a": 1, "b": "many"}, "weights.b: must be a number above 0, got 'many'"),
        ({"a": 1, "b": float("inf")}, "weights.b: must be a number above 0, got inf"),
        ({"a": 1, "b": 1, "batch_size": 1}, "batch_size: must be at least 2, a row for each source, got 1"),
        ({"a": 1, "b": 1, "epoch": "c"}, r"epoch: must be a source \(a, b\), longest or a number .* got 'c'"),
        ({"a": 1, "b": 1, "epoch": 0}, "epoch: must be a source .*, got 0"),
    ],
)
def test_refuses_what_gives_no_batches(options, message):
    with pytest.raises(DataError, match=f"MixedBatchSampler.{message}"):
        batches_of(mixed(a=9, b=3), **options)


def test_refuses_another_sampler_or_data_set(tmp_path):
    shards = SimpleNamespace(shard_sizes=[3, 4])
    with pytest.raises(DataError, match=r"sampler: must be DefaultSampler or InfiniteSampler, got ShardShuffleSampler"):
        batches_of(None, sampler=ShardShuffleSampler(shards, seed=0), a=1)
    with pytest.raises(DataError, match="the data set must be MixedSources, got PlainRows"):
        batches_of(PlainRows("a", 3), a=1)


@MODELS.register_module(force=True)
class LearnsNothing(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss_none": self.weight**2}


@HOOKS.register_module(force=True)
class SeenTexts(Hook):
    """Notes which samples each iteration got."""

    batches: list = []  # noqa: RUF012

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append([sample.text for sample in data_batch["data_samples"]])


def run(work_dir, loop, workers, sampler="DefaultSampler", resume=None):
    """Train and return the texts of each iteration that this call made."""
    config = tiny_config(work_dir)
    sources = {"a": plain("a", 14), "b": plain("b", 3)}
    config.train_dataloader.update(
        batch_size=4,
        num_workers=workers,
        dataset={"type": "bus_toolkit.MixedSources", "sources": sources},
        sampler={"type": sampler, "shuffle": True},
        batch_sampler={"type": "bus_toolkit.MixedBatchSampler", "weights": {"a": 3, "b": 1}, "epoch": "a"},
    )
    config.model = {"type": "bus_toolkit.LearnsNothing"}
    config.train_cfg = {**loop, "val_interval": 1000}
    config.param_scheduler = None
    config.custom_hooks = [{"type": "bus_toolkit.SeenTexts"}]
    by_epoch = "max_epochs" in loop
    config.default_hooks = {
        "checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "by_epoch": by_epoch, "interval": 1}
    }
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    SeenTexts.batches = []
    runner = build_runner(config, RunOptions(work_dir=str(work_dir), resume=resume))
    assert len(runner.train_dataloader) == 4
    runner.train()
    if not by_epoch:
        runner.train_loop.dataloader_iterator._iterator = None  # else its workers end slowly
    return SeenTexts.batches


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "workers", "stop"),
    [
        ("DefaultSampler", 0, 3),
        ("DefaultSampler", 0, 4),  # the end of the first epoch
        ("DefaultSampler", 2, 6),
        ("InfiniteSampler", 0, 6),
        ("InfiniteSampler", 2, 3),
    ],
)
def test_a_run_by_iterations_goes_on_in_mid_epoch(tmp_path, monkeypatch, sampler, workers, stop):
    monkeypatch.setattr("mmengine.runner.loops.time", SimpleNamespace(sleep=lambda seconds: None))
    loads: list = []
    monkeypatch.setattr(PlainRows, "read", _counted(PlainRows.read, loads))
    loop = {"type": "IterBasedTrainLoop", "max_iters": 10}
    whole = run(tmp_path / "whole", loop, workers, sampler)
    assert len(whole) == 10
    first = run(tmp_path / "halves", {**loop, "max_iters": stop}, workers, sampler)
    loads.clear()
    second = run(tmp_path / "halves", loop, workers, sampler, resume="latest")
    assert first + second == whole
    if workers == 0:
        assert len(loads) == 4 * (10 - stop), "nothing is loaded to be passed over"
    a = [text for batch in whole for text in batch[:3]]
    assert len(set(a[:14])) == 14 and {text.split()[0] for batch in whole for text in batch[3:]} == {"b"}


def _counted(load, loads):
    assert len(inspect.signature(load).parameters) == 3

    def counted(self, index, *, region_only):
        loads.append(index)
        return load(self, index, region_only=region_only)

    return counted


def test_a_run_by_epochs_goes_on_with_the_next_epoch(tmp_path):
    loop = {"type": "EpochBasedTrainLoop", "max_epochs": 3}
    whole = run(tmp_path / "whole", loop, 0)
    first = run(tmp_path / "halves", {**loop, "max_epochs": 1}, 0)
    second = run(tmp_path / "halves", loop, 0, resume="latest")
    assert len(whole) == 12 and len(first) == 4 and first + second == whole
    a = [text for batch in whole for text in batch[:3]]
    assert len(set(a[:14])) == len(set(a[14:28])) == 14, "passes go on across the ends of epochs"


@pytest.mark.parametrize("kind", ["DefaultSampler", "InfiniteSampler"])
def test_an_order_can_be_kept(kind):
    data = mixed(a=9, b=3)
    sampler = sampler_of(data, InfiniteSampler if kind == "InfiniteSampler" else type(sampler_of(data)), shuffle=False)
    stream = iter(batches_of(data, sampler=sampler, a=3, b=1))
    assert [next(stream) for _ in range(2)] == [[0, 1, 2, 9], [3, 4, 5, 10]]
