from __future__ import annotations

import itertools

from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, RandomSampler

from bus_toolkit.data.samplers.numbered import NumberedBatches, NumberedSampler, NumberedStream

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
