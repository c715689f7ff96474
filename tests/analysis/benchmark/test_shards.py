"""Both ways read every sample; their speeds are only reported."""

import sys

import pytest

from bus_toolkit.analysis.benchmark.shards import measure_shards
from bus_toolkit.errors import ConfigError
from tests.data.shards.tiny_shards import write_shards_of


def test_both_ways_read_all_samples(tmp_path):
    pytest.importorskip("webdataset")
    speed = measure_shards([str(path) for path in write_shards_of(tmp_path, [3, 2])], rounds=1)
    assert speed.samples == 5
    for what in ("bytes", "decoded"):
        rates = speed.rates[what]
        assert set(rates) == {"ours", "webdataset"} and min(rates.values()) > 0
        assert speed.ratio(what) == rates["ours"] / rates["webdataset"]
    training = speed.rates["training"]
    assert set(training) - {"timm"} == {"ours", "webdataset"} and min(training.values()) > 0
    assert speed.ratio("training") == training["ours"] / max(rate for name, rate in training.items() if name != "ours")


def test_without_webdataset_there_is_nothing_to_compare_with(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ConfigError, match="webdataset: the comparison needs it"):
        measure_shards([str(path) for path in write_shards_of(tmp_path, [1])], rounds=1)
