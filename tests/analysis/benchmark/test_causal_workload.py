"""Work of a vision-language model with a causal language model, counted by part."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.analysis.benchmark.causal_workload import CausalWorkload
from bus_toolkit.analysis.benchmark.groups import Contender, Group, random_twin
from bus_toolkit.analysis.benchmark.results import Settings
from bus_toolkit.analysis.benchmark.run import measure_groups
from bus_toolkit.analysis.benchmark.workload import made_up_batch
from bus_toolkit.analysis.budget.baselines import same_cost_baselines, unselective
from bus_toolkit.analysis.budget.plan import plan_budget
from bus_toolkit.analysis.macs import count_macs, count_macs_by_part
from bus_toolkit.analysis.meta_macs import MacCounter
from tests.models.causal.tiny import PARTS, model

HALF = {"type": "Random", "blocks": [1], "keep_ratio": 0.5}
LENGTH = 8  # tokens of a question, start and end mark included


def node(**parts: Any) -> dict[str, Any]:
    return {"type": "CausalVLM", **PARTS, **parts}


def load(scope: Any = "pair", **parts: Any) -> CausalWorkload:
    built = model(**parts)
    return CausalWorkload(built, scope, made_up_batch(built, 2, LENGTH))


def language_model_macs(tokens: list[int], visual: int, asked: int) -> int:
    """Return the MACs of a Llama of width 16, feed-forward width 43, one head of 16 numbers in two, by formula."""
    layers = sum(4 * n * 16 * 16 + 2 * n * n * 16 + 3 * n * 16 * 43 for n in tokens)
    return layers + asked * 16 * visual


@pytest.mark.parametrize(("selectors", "left"), [([], [16, 16, 16]), ([HALF], [16, 8, 8])])
def test_the_language_model_costs_what_its_layers_read(selectors: list[dict[str, Any]], left: list[int]) -> None:
    work = load(selectors=selectors)
    macs = count_macs_by_part(work.forward, work.parts, rest="rest")
    words = 1 + LENGTH - 2  # the start mark, and a question without its marks
    size = work.model.tokenizer.vocab_size
    expected = language_model_macs([words + count for count in left], size, asked=1)
    # Rotary tables are products of matrices, too: 4 frequencies a place.
    assert macs["language model"] == 2 * (expected + (words + 16) * 4)
    assert macs["decoder"] == 2 * 16 * 32 * 16 and macs["rest"] == 0 and macs["selection"] == 0
    assert work.tokens_by_stage() == {
        **{f"block {number}": 17 for number in range(1, work.model.backbone.num_blocks + 1)},
        "decoder": 16,
        # What leaves a layer is what the next one reads.
        **{f"layer {number}": count for number, count in enumerate([*left[1:], left[-1]], 1)},
    }


def test_counts_on_shapes_alone_are_those_of_real_passes() -> None:
    for scope, work in (("answer", "forward"), ("model", "step"), ("vision", "step"), ("pair", "forward")):
        shapes = MacCounter(work, LENGTH, scope=scope)
        real = MacCounter(work, LENGTH, scope=scope, device="cpu")
        config = node(selectors=[HALF], patch_text=None)
        assert shapes.macs(config) == real.macs(config) > 0
        assert shapes._device == "meta"  # nothing asked for numbers


def test_ratios_and_images_are_planned_for_a_cost() -> None:
    counter = MacCounter("forward", LENGTH, scope="answer", device="cpu")
    config = node(selectors=[HALF])
    budget = counter.macs(config)
    assert counter.macs({**config, **unselective(config)}) > budget
    assert plan_budget({**config, "selectors": [{**HALF, "keep_ratio": 0.9}]}, budget, counter).kept == 8
    blind, smaller = same_cost_baselines(config, budget, counter)
    assert blind.plan is not None and blind.plan.kept == 8
    assert smaller.plan is None or smaller.plan.macs <= budget


def test_texts_of_an_image_share_what_reads_none() -> None:
    config = node(selectors=[HALF])
    one, two = (
        MacCounter("forward", LENGTH, scope="answer", texts_per_image=q, device="cpu").macs(config) for q in (1, 2)
    )
    work = load("answer")
    shared = count_macs_by_part(work.forward, work.parts, rest="rest")
    assert one - two == (shared["backbone"] + shared["decoder"]) // 2 // 2


def test_a_random_twin_keeps_as_many_at_the_same_places() -> None:
    tsps = {"type": "TSPS", "blocks": [2], "keep_ratio": 0.25, "fuse": "normalized"}
    member = Contender("x", node(selectors=[tsps], vision_selectors=[HALF], patch_text={}))
    work = load(selectors=[tsps], vision_selectors=[HALF], patch_text={})
    twin = random_twin(member, work)
    other = CausalWorkload(twin, "pair", made_up_batch(twin, 2, LENGTH))
    assert other.tokens_by_stage() == work.tokens_by_stage()
    assert [type(one).__name__ for one in (*twin.backbone.selectors, *twin.selectors)] == ["RandomSelector"] * 2


def test_a_benchmark_measures_it_beside_its_baseline() -> None:
    group = Group(Contender("x unpruned", node()), (Contender("x", node(selectors=[HALF])),))
    settings = Settings(batch_size=2, text_length=LENGTH, rounds=1, baselines="random")
    results = list(measure_groups([group], settings))
    assert [one.name for one in results] == ["x unpruned", "x", "x Random"]
    assert results[1].macs == results[2].macs and results[1].step_macs < results[0].step_macs
    assert count_macs(load("model", selectors=[HALF]).step) == results[1].step_macs
