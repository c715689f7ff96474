"""The settings of the model wrapper: what a user writes counts, what is missing is filled in."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
import torch
from mmengine.config import Config

from bus_toolkit.engine.evaluator_checks import collect_over_group
from bus_toolkit.engine.parallel.wrapping import say_unwrapped, wrapper_settings
from bus_toolkit.errors import ConfigError
from tests.conftest import TwoRanks
from tests.engine.tiny_run import TinyMean

DDP = "MMDistributedDataParallel"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_a_word_ddp_searches_only_while_it_must() -> None:
    phased = {"type": "bus_toolkit.PhasedDDP", "broadcast_buffers": False, "device_ids": None}
    assert wrapper_settings(None, Config({})) == phased


@pytest.mark.parametrize("search", [True, False])
def test_the_search_can_be_set(search: bool) -> None:
    settings = wrapper_settings(None, Config({"find_unused_parameters": search}))
    assert settings["type"] == DDP and settings["find_unused_parameters"] is search


def test_what_the_user_writes_is_not_replaced_on_the_cpu() -> None:
    given = {"type": DDP, "static_graph": True, "broadcast_buffers": True, "bucket_cap_mb": 50}
    assert wrapper_settings(given, Config({})) == {**given, "device_ids": None}
    assert given == {"type": DDP, "static_graph": True, "broadcast_buffers": True, "bucket_cap_mb": 50}
    filled = wrapper_settings({"bucket_cap_mb": 50}, Config({}))
    assert filled["type"] == "bus_toolkit.PhasedDDP" and filled["broadcast_buffers"] is False


def test_one_process_says_that_it_wraps_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        say_unwrapped(None)
        assert not caplog.text
        say_unwrapped({"type": "FSDP2"})
    assert "model_wrapper_cfg: FSDP2 takes several processes, got one" in caplog.text


def test_a_process_with_a_gpu_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert wrapper_settings(None, Config({}))["device_ids"] == [3]


@pytest.mark.parametrize(
    ("given", "cfg", "message"),
    [
        ({"type": "Nope"}, {}, "model_wrapper_cfg.type: no model wrapper named 'Nope'. Leave it out for DDP"),
        ({"type": "MMDeepSpeedEngineWrapper"}, {}, "belongs to a strategy of MMEngine's FlexibleRunner.*Write FSDP2"),
        ({"device_ids": [0]}, {}, r"model_wrapper_cfg.device_ids: no GPU is visible, got \[0\]. Remove it"),
        ({"type": "bus_toolkit.PhasedDDP"}, {"find_unused_parameters": True}, "got find_unused_parameters beside it"),
        ({"find_unused_parameters": True}, {"find_unused_parameters": False}, "got False, and True in model_wrapper"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        wrapper_settings(given, Config(cfg))


def means_of_rank(rank: int, folder: Any) -> Any:
    """Evaluate in a folder of the rank's own, as on machines that share no disk."""
    (folder / str(rank)).mkdir()
    with contextlib.chdir(folder / str(rank)):
        metric = TinyMean()
        metric.results = [float(value) for value in range(rank, 5, 2)] + [4.0] * rank  # five rows; one comes twice
        collect_over_group([metric])
        return metric.evaluate(5), [path.name for path in (folder / str(rank)).iterdir()]


def test_metrics_of_others_need_no_folder_that_all_ranks_see(two_ranks: TwoRanks, tmp_path: Any) -> None:
    assert two_ranks(means_of_rank, tmp_path) == [({"tiny/mean": 2.0}, [])] * 2


def test_a_folder_of_the_users_choice_is_left() -> None:
    metric = TinyMean(collect_device="cpu", collect_dir="/elsewhere")
    collect_over_group([metric])
    assert metric.collect_device == "cpu"
