"""Resolved configs of an earlier version are read as it read them; others are left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bus_toolkit.config.earlier import follow_earlier

OFF = {"decay_mult": 0.0}
KEYS = {"embedding": OFF, "pos_embed": OFF, "cls_token": OFF, "quer": OFF}


def config(keys: Any, heads: Any, rows: int = 4) -> dict[str, Any]:
    return {
        "model": {"heads": heads},
        "optim_wrapper": {"paramwise_cfg": {"norm_decay_mult": 0.0, "custom_keys": keys}},
        "train_dataloader": {"batch_sampler": {"type": "RegionBatchSampler", "region_batch_size": rows}},
    }


def test_keys_become_names_that_do_not_decay_and_rows_that_nobody_reads_are_left_out() -> None:
    old = config({**KEYS, "backbone.vit": {"lr_mult": 0.1}}, {"itc": {"type": "ITCHead"}})
    first, second = follow_earlier(old)
    assert old["optim_wrapper"]["paramwise_cfg"] == {
        "norm_decay_mult": 0.0,
        "custom_keys": {"backbone.vit": {"lr_mult": 0.1}},
        "no_decay": ["*embedding*", "*pos_embed*", "*cls_token*", "*quer*"],
    }
    assert old["train_dataloader"]["batch_sampler"]["region_batch_size"] == 0
    assert "custom_keys embedding, pos_embed, cls_token, quer are read as no_decay" in first and "read as 0" in second


def test_rows_that_a_head_reads_stay() -> None:
    old = config(KEYS, {"ptm": {"type": "PatchTextHead"}})
    assert len(follow_earlier(old)) == 1 and old["train_dataloader"]["batch_sampler"]["region_batch_size"] == 4


@pytest.mark.parametrize(
    "other",
    [
        config({"embedding": OFF}, {"itc": {"type": "ITCHead"}}),
        config({**KEYS, "quer": {"decay_mult": 0.5}}, {"itc": {"type": "ITCHead"}}),
        config(None, {"itc": {"type": "ITCHead"}}),
        {"optim_wrapper": 5},
        {},
    ],
)
def test_another_config_is_left_alone(other: dict[str, Any]) -> None:
    before = copy.deepcopy(other)
    assert follow_earlier(other) == [] and other == before


@pytest.mark.parametrize("heads", [None, [], {"itc": None}, {"itc": {"type": "Unknown"}}, {"itc": {"type": []}}])
def test_what_is_wrong_with_heads_is_left_to_the_checks(heads: Any) -> None:
    assert len(follow_earlier(config(KEYS, heads))) == 1
