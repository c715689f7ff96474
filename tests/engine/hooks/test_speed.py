import pytest
from mmpretrain.structures import DataSample

from bus_toolkit.engine.hooks import speed
from bus_toolkit.engine.hooks.speed import Speedometer, num_samples


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    return now


def test_speed_counts_the_samples_of_all_processes(clock):
    meter = Speedometer(world_size=2)
    meter.resume()
    clock[0] = 2.0
    meter.tick(8)
    assert meter.read() == 8.0  # 2 processes x 8 samples / 2 s


def test_a_break_does_not_count(clock):
    meter = Speedometer()
    meter.resume()
    clock[0] = 1.0
    meter.tick(4)
    clock[0] = 101.0
    meter.resume()
    clock[0] = 102.0
    meter.tick(4)
    assert meter.seconds == 2.0
    assert meter.read() == 4.0
    assert meter.remaining(10) == 10.0


def test_a_meter_that_has_seen_nothing_reads_zero(clock):
    meter = Speedometer()
    assert meter.read() == 0.0 and meter.remaining(5) == 0.0


def test_rows_for_the_patch_text_loss_do_not_count():
    pair, region = DataSample(), DataSample()
    region.set_field(True, "region_only")
    assert num_samples({"inputs": [0, 0, 0], "data_samples": [pair, pair, region]}) == 2


@pytest.mark.parametrize(("batch", "count"), [([1, 2, 3], 3), ({"inputs": [1, 2]}, 2), (None, 0)])
def test_other_batches_count_their_rows(batch, count):
    assert num_samples(batch) == count
