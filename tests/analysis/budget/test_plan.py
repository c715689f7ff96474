"""Plans are within the budget, and one more patch would not be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bus_toolkit.analysis.budget.plan import plan_budget, ratios_of, summary_share
from bus_toolkit.analysis.macs import block_macs
from bus_toolkit.analysis.meta_macs import MacCounter
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.ops.make_plans import num_kept
from tests.analysis.toy import WIDTH, toy
from tests.backbones.test_towers_train import TOWERS

COUNTER = MacCounter("forward", 8, device="cpu")
PATCHES = 64


def keeping(kept: int, **parts: Any) -> dict[str, Any]:
    model = toy(**parts)
    model["selectors"][0]["keep_ratio"] = kept / PATCHES
    return model


def macs(kept: int, **parts: Any) -> int:
    return COUNTER.macs(keeping(kept, **parts))


def test_a_share_of_whole_patches_keeps_just_these_rounded_down_or_up() -> None:
    for patches in (16, 49, 196, 256, 576, 1024):
        for kept in range(1, patches + 1):
            assert num_kept(patches, kept / patches) == kept == math.ceil(patches * (kept / patches) - 1e-9)


def test_macs_grow_with_the_patches_by_the_closed_form() -> None:
    """After the selector come three blocks that read one global token and the patches kept."""
    for kept in (1, 7, 32):
        grown = 3 * (block_macs(2 + kept, WIDTH) - block_macs(1 + kept, WIDTH))
        assert macs(kept + 1) - macs(kept) == grown > 0


def test_the_plan_is_the_one_that_the_closed_form_gives() -> None:
    budget = COUNTER.macs(toy(selectors=[], img_size=48))  # 36 patches in all four blocks
    fixed = macs(1) - 3 * block_macs(2, WIDTH)
    expected = max(kept for kept in range(1, PATCHES) if fixed + 3 * block_macs(1 + kept, WIDTH) <= budget)
    plan = plan_budget(toy(), budget, COUNTER)
    assert plan.kept == expected
    assert plan.changes == {"model.selectors.0.keep_ratio": expected / PATCHES}
    assert plan.model == keeping(expected)


@pytest.mark.parametrize("work", ["step", "forward"])
def test_a_plan_is_within_the_budget_and_one_more_patch_is_not(work: str) -> None:
    parts = {
        "decoder": {"type": "PAD", "num_layers": 1, "num_heads": 4},
        "fusion": {"type": "CrossAttentionFusion", "num_layers": 1, "num_heads": 4},
        "heads": {**toy()["heads"], "itm": {"type": "ITMHead"}},
        "momentum": {"decay": 0.9},
    }
    counter = MacCounter(work, 8, device="cpu")  # type: ignore[arg-type]
    budget = counter.macs(toy(img_size=56, **{**parts, "selectors": []}))
    plan = plan_budget(toy(**parts), budget, counter)
    assert 1 < plan.kept < PATCHES
    assert plan.macs == counter.macs(plan.model) == counter.macs(keeping(plan.kept, **parts)) <= budget
    assert counter.macs(keeping(plan.kept + 1, **parts)) > budget


def test_its_own_cost_gives_the_model_back() -> None:
    assert plan_budget(toy(), macs(32), COUNTER).model == toy()
    assert plan_budget(toy(), macs(PATCHES), COUNTER).kept == PATCHES


def test_all_ratios_are_scaled_alike_and_none_above_one() -> None:
    selectors = [
        {"type": "TSPS", "blocks": [1], "keep_ratio": {"start": 1.0, "end": 0.8, "epochs": 2}},
        {"type": "ELIP", "blocks": [2, 4], "look_ahead": 1, "keep_ratio": [0.6, 0.4]},
        {"type": "Identity", "blocks": [3]},
    ]
    model = toy(selectors=selectors)
    assert ratios_of(selectors) == [0.8, 0.6, 0.4]
    scaled = []
    for kept in (10, 38):
        share = kept / PATCHES / 0.4
        wanted = [share * 0.8, share * 0.6, kept / PATCHES]
        for node, ratio in zip(nodes := [dict(node) for node in selectors], wanted, strict=True):
            node["keep_ratio"] = ratio
        nodes[0]["keep_ratio"] = {"start": 1.0, "end": min(1.0, wanted[0]), "epochs": 2}
        nodes[1]["keep_ratio"], nodes[2] = wanted[1:], selectors[2]
        plan = plan_budget(model, COUNTER.macs({**model, "selectors": nodes}), COUNTER)
        scaled.append((plan.kept, ratios_of(plan.model["selectors"])))
        assert plan.model["selectors"][0]["keep_ratio"]["start"] == 1.0
        assert "model.selectors.2.keep_ratio" not in plan.changes
    assert [kept for kept, _ in scaled] == [10, 38]
    assert scaled[0][1] == pytest.approx([0.3125, 0.234375, 0.15625])
    assert scaled[1][1] == pytest.approx([1.0, 0.890625, 0.59375])


def test_the_summary_keeps_its_share_of_the_tokens_that_reach_it() -> None:
    selectors = [{"type": "TSPS", "blocks": [1], "keep_ratio": 0.5}]
    decoder = {"type": "PAD", "num_layers": 1, "num_heads": 4, "num_queries": 11}
    share = summary_share(toy(selectors=selectors, decoder=decoder), COUNTER)
    assert share == 11 / 33  # 32 patches and what fuses the rest
    target = toy(selectors=selectors, decoder=decoder, img_size=80)
    plan = plan_budget(target, COUNTER.macs(toy(selectors=[], img_size=72)), COUNTER, share)
    assert plan.changes["model.decoder.num_queries"] == (plan.kept + 1) // 3 != 11


@pytest.mark.parametrize("decoder", [{"type": "Identity"}, {"type": "PAD", "num_layers": 1, "num_heads": 4}])
def test_a_summary_without_a_fixed_length_cannot_be_scaled(decoder: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--num-queries scale: {decoder['type']} has no fixed number"):
        summary_share(toy(decoder=decoder), COUNTER)


def test_a_budget_that_all_patches_do_not_reach_is_reported_with_both_figures() -> None:
    text = r"keeping all 64 patches takes 0\.00\d GMAC, less than the 1\.000 GMAC of the reference"
    with pytest.raises(ConfigError, match=text):
        plan_budget(toy(), 10**9, COUNTER)


def test_a_budget_below_one_patch_is_reported_with_both_figures() -> None:
    text = r"keeping 1 of 64 patches still takes 0\.00\d GMAC, more than the 0\.001 GMAC.*Choose a smaller"
    with pytest.raises(ConfigError, match=text):
        plan_budget(toy(), 10**6, COUNTER)


def test_a_budget_below_what_a_part_needs_names_that_part() -> None:
    model = toy(decoder={"type": "PAD", "num_layers": 1, "num_heads": 4, "num_queries": 40})
    enough = [{"type": "TSPS", "blocks": [1], "keep_ratio": 40 / 64, "fuse": "none"}]
    budget = COUNTER.macs({**model, "selectors": enough})
    assert plan_budget(model, budget, COUNTER).kept == 40
    with pytest.raises(ConfigError, match=r"keeping 40 of 64.*fewer are refused.*num_queries.*got 40") as caught:
        plan_budget(model, budget - 1, COUNTER)
    assert isinstance(caught.value.__cause__, ComponentError)


def test_ratios_without_effect_are_reported() -> None:
    class Fixed(MacCounter):
        def macs(self, model: Any) -> int:
            return 5

    with pytest.raises(ConfigError, match="as much as keeping all: these keep ratios have no effect"):
        plan_budget(toy(), 4, Fixed("forward", 8))


@pytest.mark.parametrize("selectors", [[], [{"type": "Identity", "blocks": [2]}]])
def test_nothing_to_plan_is_an_error(selectors: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"model\.selectors: no selector here has a keep ratio"):
        plan_budget(toy(selectors=selectors), 10**9, COUNTER)


@pytest.mark.parametrize("tower", ["mmpretrain", "ViTModel", "CLIPVisionModel", "SiglipVisionModel"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_share_of_queries_is_of_the_tokens_without_class_token_and_registers(tower: str, device: str) -> None:
    backbone = {} if tower == "mmpretrain" else {"backbone": TOWERS[tower]}
    selectors = [{"type": "TSPS", "blocks": [1], "keep_ratio": 0.5}]  # 8 of 16 patches, and the fused token
    model = toy(32, **backbone, selectors=selectors, decoder={"type": "PAD", "num_queries": 3})
    assert summary_share(model, MacCounter("forward", 8, device=device)) == 3 / 9  # type: ignore[arg-type]


def test_four_registers_and_a_class_token_are_no_patches() -> None:
    tower = {**TOWERS["Dinov2WithRegistersModel"], "img_size": 64}
    selectors = [{"type": "TSPS", "blocks": [1], "keep_ratio": 0.5}]
    model = toy(64, backbone=tower, selectors=selectors, decoder={"type": "PAD", "num_queries": 11})
    assert COUNTER.tokens_for_decoder({**model, "decoder": {"type": "Identity"}}) == 33  # half of 64, and the fused one
    assert summary_share(model, COUNTER) == 11 / 33
