from __future__ import annotations

import itertools

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, RandomSampler

from bus_toolkit.data.samplers.numbered import NumberedBatches, NumberedSampler, NumberedStream
from bus_toolkit.data.samplers.region_batch_sampler import RegionBatchSampler

DATA = list(range(5))


def seeds(draws, count=None):
    return [draw.seed for draw in itertools.islice(draws, count)]


def test_seeds_follow_from_the_seed_of_the_run_and_the_epoch():
    def of(run_seed, epoch):
        sampler = NumberedSampler(DefaultSampler(DATA, seed=0), lambda: run_seed)
        sampler.set_epoch(epoch)
        return seeds(sampler)

    assert of(0, 1) == of(0, 1)
    assert len({*of(0, 0), *of(0, 1), *of(1, 0)}) == 15


def test_the_order_stays_that_of_the_sampler():
    inner = DefaultSampler(DATA, seed=0)
    sampler = NumberedSampler(inner, lambda: 0)
    sampler.set_epoch(3)
    assert inner.epoch == sampler.epoch == 3 and [draw.row for draw in sampler] == list(inner)
    assert len(sampler) == 5 and sampler.dataset is DATA


def test_a_sampler_without_epochs_gets_them():
    sampler = NumberedSampler(RandomSampler(DATA), lambda: 0)
    first = seeds(sampler)
    sampler.set_epoch(1)
    assert not {*first} & {*seeds(sampler)}


def test_a_stream_that_skipped_goes_on_with_the_seeds_that_follow():
    straight = seeds(NumberedStream(InfiniteSampler(DATA, seed=0), lambda: 0), 12)
    resumed = NumberedStream(InfiniteSampler(DATA, seed=0), lambda: 0)
    resumed.skip(7)
    assert seeds(resumed, 5) == straight[7:] and len({*straight}) == 12


def test_a_batch_sampler_numbers_the_rows_of_an_epoch_through():
    def of(epoch):
        batches = NumberedBatches(BatchSampler(DefaultSampler(DATA, seed=0), 2, drop_last=False), lambda: 0)
        batches.sampler.set_epoch(epoch)
        return list(batches), batches

    draws, batches = of(0)
    assert len(batches) == 3 and batches.batch_size == 2
    plain = NumberedSampler(DefaultSampler(DATA, seed=0), lambda: 0)
    assert list(itertools.chain.from_iterable(draws)) == list(plain)
    assert draws != of(1)[0]


def in_epoch(numbered, epoch, first):
    (numbered.sampler if isinstance(numbered, NumberedBatches) else numbered).set_epoch(epoch)
    numbered.first = first
    return list(numbered)


class Boxed(list):
    boxed_indices = (1, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NumberedSampler(DefaultSampler(DATA, seed=0), lambda: 0),
        lambda: NumberedSampler(RandomSampler(DATA), lambda: 0),
        lambda: NumberedBatches(BatchSampler(DefaultSampler(DATA, seed=0), 2, drop_last=False), lambda: 0),
        lambda: NumberedBatches(
            RegionBatchSampler(
                DefaultSampler(Boxed(DATA), seed=0), 2, region_batch_size=1, boxed_rows=1, drop_last=False
            ),
            lambda: 0,
        ),
    ],
)
def test_an_epoch_from_any_place_on_is_the_end_of_the_whole_one(make):
    whole = in_epoch(make(), 2, 0)
    for first in range(len(whole) + 1):
        assert in_epoch(make(), 2, first) == whole[first:]
    assert in_epoch(make(), 1, 0) != whole


def test_nothing_is_drawn_for_batches_that_are_left_out(monkeypatch):
    numbers = []

    def draw(self, epoch, number, size, stream=0):
        numbers.append(number)
        return [1] * size

    monkeypatch.setattr(RegionBatchSampler, "_drawn", draw)
    regions = RegionBatchSampler(DefaultSampler(Boxed(DATA), seed=0), 1, region_batch_size=1)
    assert len(in_epoch(NumberedBatches(regions, lambda: 0), 0, 3)) == 2 and set(numbers) == {3, 4}
