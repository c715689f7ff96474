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
