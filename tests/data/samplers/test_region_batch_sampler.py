import numpy as np
import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler

from bus_toolkit.data.samplers.region_batch_sampler import RegionBatchSampler, RegionRow
from bus_toolkit.errors import DataError


class Rows:
    def __init__(self, size, boxed):
        self.size, self.boxed_indices = size, boxed

    def __len__(self):
        return self.size


def batches(epoch=0, size=40, boxed=tuple(range(0, 40, 4)), seed=0, **options):
    sampler = DefaultSampler(Rows(size, boxed), shuffle=True, seed=1)
    sampler.set_epoch(epoch)
    return list(RegionBatchSampler(sampler, 8, seed=seed, **options))


def test_appends_flagged_rows_of_boxed_images():
    for batch in batches(region_batch_size=3):
        assert len(batch) == 11
        assert [isinstance(index, RegionRow) for index in batch] == [False] * 8 + [True] * 3
        assert all(index % 4 == 0 for index in batch[8:])


def test_caption_rows_are_those_of_the_sampler():
    plain = batches(region_batch_size=0)
    assert [batch[:8] for batch in batches(region_batch_size=3)] == plain
    assert sorted(sum(plain, [])) == list(range(40))


def test_uses_all_boxed_rows_before_one_comes_again():
    appended = [batch[8:] for batch in batches(region_batch_size=2)]
    assert sorted(sum(appended, [])) == list(range(0, 40, 4))


def test_repeats_rows_when_a_batch_needs_more_than_there_are():
    appended = batches(region_batch_size=5, boxed=(4, 9))[0][8:]
    assert set(appended) == {4, 9} and len(appended) == 5


def test_an_epoch_is_the_same_again_and_another_one_differs():
    assert batches(epoch=2, region_batch_size=3) == batches(epoch=2, region_batch_size=3)
    first, second = ([b[8:] for b in batches(epoch=e, region_batch_size=3)] for e in (0, 1))
    assert first != second
    assert first != [b[8:] for b in batches(seed=9, region_batch_size=3)]


def test_two_ranks_see_together_what_one_process_sees(monkeypatch):
    whole = [sorted(b[8:]) for b in batches(region_batch_size=4)]
    parts = []
    for rank in range(2):
        monkeypatch.setattr("bus_toolkit.data.samplers.region_batch_sampler.get_dist_info", lambda rank=rank: (rank, 2))
        parts.append([b[8:] for b in batches(region_batch_size=2)])
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == whole


def test_goes_on_without_end_on_an_infinite_sampler():
    stream = iter(RegionBatchSampler(InfiniteSampler(Rows(10, [1, 2, 3]), seed=0), 4, region_batch_size=2))
    assert all(len(next(stream)) == 6 for _ in range(20))


def test_the_last_batch_may_be_kept():
    sampler = DefaultSampler(Rows(10, [0]), shuffle=False)
    sizes = [len(b) for b in RegionBatchSampler(sampler, 4, region_batch_size=1, drop_last=False)]
    assert sizes == [5, 5, 3]


@pytest.mark.parametrize(("size", "boxed", "message"), [(-1, (1,), "must be 0 or more, got -1"), (2, (), "no image")])
def test_refuses_what_cannot_be_drawn(size, boxed, message):
    with pytest.raises(DataError, match=message):
        batches(region_batch_size=size, boxed=boxed)


def test_boxed_rows_take_the_place_of_some_of_the_samplers_and_serve_all_losses():
    drawn = batches(boxed_rows=2)
    assert all(len(batch) == 8 and not any(isinstance(index, RegionRow) for index in batch) for batch in drawn)
    assert all(index % 4 == 0 for batch in drawn for index in batch[6:])
    assert len(drawn) == 6  # 40 rows of the sampler, 6 a batch
    assert len(set(sum((batch[:6] for batch in drawn), []))) == 36
    assert sorted(sum((batch[6:] for batch in drawn[:5]), [])) == list(range(0, 40, 4))


def test_both_kinds_of_boxed_rows_are_drawn_on_their_own():
    drawn = batches(boxed_rows=2, region_batch_size=2)
    assert [len(batch) for batch in drawn] == [10] * 6
    assert [batch[8:] for batch in drawn[:5]] == [batch[8:] for batch in batches(region_batch_size=2)]
    assert any(batch[6:8] != batch[8:] for batch in drawn)


def test_the_batch_size_is_that_of_the_whole_batch():
    sampler = DefaultSampler(Rows(40, (0, 4)), shuffle=True, seed=1)
    wrapped = RegionBatchSampler(sampler, 8, boxed_rows=4)
    assert wrapped.batch_size == 8
    assert len(wrapped) == len(list(wrapped)) == 10


@pytest.mark.parametrize("boxed_rows", [-1, 8])
def test_the_sampler_keeps_a_row_at_least(boxed_rows):
    with pytest.raises(DataError, match="boxed_rows: must be 0 or more and below the batch size 8"):
        batches(boxed_rows=boxed_rows)


def drawn_for_each_batch_alone(sampler, epoch, number, size, stream):
    """Return what a batch gets, by permuting all boxed rows for it."""
    share = size * sampler.world_size
    batches = max(1, len(sampler.boxed) // share)
    rng = np.random.default_rng([sampler.seed, epoch, number // batches] + [stream] * (stream > 0))
    passes = [rng.permutation(len(sampler.boxed)) for _ in range(-(-share // len(sampler.boxed)))]
    chosen = np.concatenate(passes)[number % batches * share :][:share]
    return [sampler.boxed.tolist()[i] for i in chosen[sampler.rank :: sampler.world_size]]


@pytest.mark.parametrize(("rank", "world_size", "region", "boxed_rows"), [(0, 1, 3, 0), (1, 3, 2, 2), (0, 2, 7, 5)])
def test_a_pass_is_drawn_once_and_is_that_of_each_batch_alone(rank, world_size, region, boxed_rows, monkeypatch):
    place = "bus_toolkit.data.samplers.region_batch_sampler.get_dist_info"
    monkeypatch.setattr(place, lambda: (rank, world_size))
    inner = DefaultSampler(Rows(70, tuple(range(1, 70, 5))), shuffle=True, seed=1)
    sampler = RegionBatchSampler(inner, 8, region_batch_size=region, boxed_rows=boxed_rows, seed=4)
    permuted = []
    own_part = sampler._own_part
    monkeypatch.setattr(sampler, "_own_part", lambda *args: permuted.append(args) or own_part(*args))
    for epoch in (0, 2):
        inner.set_epoch(epoch)
        for number, batch in enumerate(sampler):
            regions = drawn_for_each_batch_alone(sampler, epoch, number, region, 0)
            boxed = drawn_for_each_batch_alone(sampler, epoch, number, boxed_rows, 1) if boxed_rows else []
            assert batch[8 - boxed_rows :] == boxed + regions and all(type(row) is int for row in boxed)
    assert len(permuted) == len({(args[0], args[1], args[3]) for args in permuted})
