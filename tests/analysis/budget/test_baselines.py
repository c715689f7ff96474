"""Baselines cost what the model costs that they are compared with, and a smaller image is the largest that fits."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.analysis.budget.baselines import same_cost_baselines
from bus_toolkit.analysis.budget.smaller_image import smaller_image
from bus_toolkit.analysis.meta_macs import MacCounter, frame_of
from bus_toolkit.errors import ComponentError, ConfigError
from tests.analysis.toy import toy

COUNTER = MacCounter("forward", 8, device="cpu")
SELECTORS = [{"type": "EViT", "blocks": [2, 3], "keep_ratio": 0.5}]
HEADS = {**toy()["heads"], "ptm": {"type": "PatchTextHead"}}


def test_one_plan_holds_for_random_even_and_pooled_patches_after_the_first_block_of_a_selector() -> None:
    model = toy(selectors=SELECTORS, heads=HEADS)
    budget = COUNTER.macs(model)
    blind, smaller = same_cost_baselines(model, budget, COUNTER)
    assert blind.plan is not None and 0.97 * budget < blind.plan.macs <= budget
    for name in ("Random", "UniformGrid", "GridPool"):
        (node,) = blind.model(name)["selectors"]
        assert (node["type"], node["blocks"]) == (name, [2]) and list(blind.model(name)["heads"]) == ["itc"]
        assert COUNTER.macs(blind.model(name)) == blind.plan.macs
    assert smaller.names == ("smaller image",) and smaller.plan is not None
    assert smaller.plan.macs <= budget and not smaller.plan.model["selectors"]


class ByArea(MacCounter):
    """Costs 1 a pixel; a decoder refuses fewer than 40 patches."""

    def macs(self, model: Any) -> int:
        side = model["backbone"]["img_size"]
        height, width = (side, side) if isinstance(side, int) else side
        if model["decoder"]["type"] == "PAD" and height * width < 40 * 64:
            raise ComponentError("num_queries: too many")
        return height * width


def test_what_has_no_such_cost_says_why() -> None:
    blind, smaller = same_cost_baselines(toy(selectors=SELECTORS), 10**9, ByArea("forward", 8))
    assert blind.plan is None and "keeping all 64 patches takes" in blind.problem
    assert smaller.plan is None and "the full image takes" in smaller.problem


@pytest.mark.parametrize("img_size", [40, [40, 48], [56, 64]])
def test_a_smaller_image_has_whole_patches_and_one_row_or_column_more_costs_too_much(img_size: Any) -> None:
    counter = ByArea("forward", 8)
    wanted = counter.macs(toy(img_size=img_size))
    for budget in (wanted, wanted + 63):
        plan = smaller_image(toy(selectors=[]), budget, counter)
        assert plan.changes == {"model.backbone.img_size": img_size}
        assert (plan.kept, plan.macs) == (wanted // 64, wanted)
    assert smaller_image(toy(selectors=[]), wanted - 1, counter).kept < plan.kept


def test_a_size_that_a_decoder_refuses_is_none() -> None:
    model = toy(selectors=[], decoder={"type": "PAD", "num_layers": 1, "num_heads": 4, "num_queries": 40})
    assert smaller_image(model, 42 * 64, ByArea("forward", 8)).kept == 42
    with pytest.raises(
        ConfigError, match=r"budget: no smaller image fits into the 0\.000 GMAC .* fewer tokens"
    ) as caught:
        smaller_image(model, 41 * 64, ByArea("forward", 8))
    assert "num_queries" in str(caught.value.__cause__)


def test_the_nearest_size_is_looked_for_among_those_that_all_parts_accept() -> None:
    class Tiling(ByArea):
        def macs(self, model: Any) -> int:
            area = super().macs(model)
            if area == 42 * 64:
                raise ComponentError("windows do not tile 48 x 56 px")
            return area

    counter = Tiling("forward", 8)
    for patches, kept, nearest in ((42, 36, 36), (45, 36, 49)):
        assert smaller_image(toy(selectors=[]), patches * 64, counter).kept == kept
        assert smaller_image(toy(selectors=[]), patches * 64, counter, nearest=True).kept == nearest


def test_a_real_model_of_a_smaller_image_costs_what_is_planned() -> None:
    model = toy(selectors=[])
    plan = smaller_image(model, COUNTER.macs(toy(selectors=[], img_size=48)), COUNTER)
    assert plan.changes == {"model.backbone.img_size": 48} and frame_of(plan.model).num_patches == plan.kept == 36
