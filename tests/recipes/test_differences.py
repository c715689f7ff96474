"""Each paper-scale recipe has the values of its sources, or a reason for its own."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest

from bus_toolkit import load_config
from tests.recipes import differences, resolved, sourced
from tests.recipes.shipped import config_of


@pytest.mark.parametrize("recipe", differences.PAIRS)
def test_a_recipe_has_its_sources_values_or_reasons(recipe: str) -> None:
    assert list(differences.differences(recipe, config_of(recipe))) == []


@pytest.mark.parametrize(
    ("recipe", "path", "value", "name"),
    [
        ("albef/albef_base_4m", "model.momentum.decay", 0.99, "contrast.momentum"),
        ("albef/albef_base_4m", "optim_wrapper.paramwise_cfg.bias_decay_mult", 1.0, "optim.decay_exempt"),
        ("elip/elip_albef_base_4m", "model.selectors.0.look_ahead", [2, 5, 2], "select.look_ahead_blocks"),
        ("elip/elip_albef_base_4m", "train_dataloader.batch_size", 58, "batch.total"),
        ("elip/elip_blip_base_4m", "model.heads.itc.queue_size", 65536, "contrast.queue_size"),
        ("elip/elip_blip_base_4m", "param_scheduler.1.by_epoch", False, "schedule.unit"),
        ("elip/elip_meter_base_4m", "optim_wrapper.accumulative_counts", 8, "schedule.steps"),
        ("bus/bus_base_4m", "model.backbone.norm_cfg.eps", 1e-6, "tower.norm_eps"),
        ("bus/bus_base_4m", "model.backbone.layer_cfgs.act_cfg", {"type": "GELU"}, "tower.activation"),
        ("copa/copa_base_4m", "train_dataloader.batch_size", 64, "ours.yaml says 32"),
        ("trips/trips_base_4m", "model.selectors.0.blocks", [4, 9], "select.blocks"),
        ("albef/albef_vqa_base", "model.heads.vqa.rank_topk", 64, "eval.k_test"),
        ("elip/elip_entailment_base", "train_cfg.max_epochs", 5, "schedule.epochs"),
        ("bus/bus_caption_base", "model.heads.caption.search.min_length", 8, "eval.min_length"),
        ("copa/copa_grounding_base", "param_scheduler.0.end", 100, "schedule.warmup_steps"),
    ],
)
def test_a_changed_value_is_found(recipe: str, path: str, value: Any, name: str) -> None:
    found = list(differences.differences(recipe, load_config(recipe, {path: value})))
    assert any(name in text for text in found), found


@pytest.mark.parametrize("recipe", differences.PAIRS)
def test_our_differences_are_differences(recipe: str) -> None:
    """A reason for a value that is the source's after all would excuse the next mistake."""
    values = sourced.recipes()[differences.PAIRS[recipe]].values
    own = differences.ours()["recipes"].get(recipe) or {}
    same = [name for name in own if name not in values or differences.is_same(own[name]["value"], values[name].value)]
    assert same in ([], ["optim.decay_exempt"])


def test_reasons_by_pattern_are_of_differences() -> None:
    recipes = differences.tasks()["pairs"]
    for pattern, reasons in differences.tasks()["reasons"].items():
        tables = [sourced.recipes()[recipes[one]].values for one in fnmatch.filter(recipes, pattern)]
        for name, own in reasons.items():
            stated = [table[name].value for table in tables if name in table]
            assert any(not differences.is_same(own["value"], value) for value in stated), f"{pattern}: {name}"


def test_every_difference_has_a_value_and_a_reason() -> None:
    own = differences.ours()
    for entries in (own["everywhere"], *own["recipes"].values(), *differences.tasks()["reasons"].values()):
        assert all(set(entry) == {"value", "why"} for entry in entries.values())


def test_no_name_has_both_a_reader_and_a_reason_for_none() -> None:
    assert not resolved.READERS.keys() & differences.ours()["no_setting"].keys()
