import itertools

import pytest
from mmengine.dataset import DefaultSampler

from bus_toolkit.data.samplers import own_order as module
from bus_toolkit.data.samplers.numbered import NumberedSampler
from bus_toolkit.data.samplers.own_order import own_order


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (2, 3), (6, 7)])
def test_rows_are_those_of_mmengines_own_iterator(shuffle, rank, world_size, monkeypatch):
    monkeypatch.setattr(module, "_AT_A_TIME", 4)
    monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, world_size))
    # 3 rows on 7 ranks: the order starts again twice.
    for count, round_up, epoch in itertools.product((3, 7, 20), (True, False), (0, 5)):
        sampler = DefaultSampler(range(count), shuffle=shuffle, seed=3, round_up=round_up)
        sampler.set_epoch(epoch)
        expected = list(sampler)
        for first in (0, 1, 5, 100):
            assert list(own_order(sampler, first)) == expected[first:]


def test_somebody_elses_subclass_keeps_its_own_iterator():
    class Backwards(DefaultSampler):
        def __iter__(self):
            return iter(range(len(self.dataset) - 1, -1, -1))

    assert [draw.row for draw in NumberedSampler(Backwards(range(4)), lambda: 0)] == [3, 2, 1, 0]
