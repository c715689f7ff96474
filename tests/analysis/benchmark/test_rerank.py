"""The re-ranking benchmark counts and compares what it says."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.analysis.benchmark.rerank import measure_rerank
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.testing.model import tiny_model

SETTINGS = {"candidates": 5, "text_length": 8, "batch_size": 2, "rounds": 2, "device": torch.device("cpu")}


def test_the_cache_saves_the_blocks_before_the_selector() -> None:
    model = tiny_model({"itm": {"type": "ITMHead"}})
    speed = measure_rerank(model, **SETTINGS)
    assert speed.difference < 1e-5
    assert len(speed.cached) == len(speed.uncached) == 2 and speed.speed_up > 0
    # Of the five prefixes one is left.
    with torch.no_grad():
        from bus_toolkit.analysis.macs import count_macs

        image = torch.zeros(1, 3, *model.backbone.vit.img_size)
        prefix = count_macs(lambda: model.encoders.encode_shared(image))
    assert speed.macs_uncached - speed.macs_cached == 4 * prefix
    assert speed.promised == speed.macs_uncached / speed.macs_cached > 1


def test_with_one_pair_at_a_time_the_cache_changes_no_bit() -> None:
    model = tiny_model({"itm": {"type": "ITMHead"}})
    assert measure_rerank(model, **{**SETTINGS, "batch_size": 1}).difference == 0.0


def test_without_matching_there_is_nothing_to_measure() -> None:
    with pytest.raises(ComponentError, match="re-ranking needs an ITMHead, got itc"):
        measure_rerank(tiny_model({"itc": {"type": "ITCHead"}}), **SETTINGS)


def test_a_model_that_reads_no_text_has_nothing_to_cache() -> None:
    model = tiny_model({"itm": {"type": "ITMHead"}}, selectors=[], decoder={"type": "Identity"})
    with pytest.raises(ConfigError, match="no part reads the text"):
        measure_rerank(model, **SETTINGS)
