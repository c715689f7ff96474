"""Every example of plugins/README.md works: parts pass the kit or train, all others do what the page says."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from bus_toolkit import testing
from bus_toolkit.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    REGISTRIES,
    TRANSFORMS,
    new_registries,
)
from bus_toolkit.testing import (
    check_backbone,
    check_decoder,
    check_fusion,
    check_head,
    check_prior,
    check_selector,
    tiny_batch,
    tiny_model,
)
from bus_toolkit.testing.learning import check_learns
from bus_toolkit.testing.selector_case import SelectorCase

PAGE = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()
KINDS = {title: text for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)}


def example(title: str, number: int = 0) -> dict[str, Any]:
    """Return the names that an example of a section defines, in a module of its own: classes can be pickled."""
    module = types.ModuleType(f"example_{re.sub('[^a-z]', '_', title.lower())}_{number}")
    sys.modules[module.__name__] = module
    exec(re.findall(r"```python\n(.*?)```", KINDS[title], re.DOTALL)[number], vars(module))
    return vars(module)


@contextmanager
def registered(registry: Any, part: type) -> Iterator[None]:
    """Register a part for a while."""
    registry.register_module(module=part)
    try:
        yield
    finally:
        del registry.module_dict[part.__name__]


@contextmanager
def known(registry: Any, part: type) -> Iterator[None]:
    """Register a part of a model for a while."""
    registry.register(part)
    try:
        yield
    finally:
        del registry.entries[part.__name__]


def assert_trains(model: Any) -> None:
    images, samples = tiny_batch()
    losses = [value for name, value in model.loss(images, samples).items() if name.startswith("loss")]
    assert losses and all(torch.isfinite(loss) for loss in losses)


def test_the_first_example_registers_a_selector() -> None:
    registries = new_registries()
    example("Start")["register_components"](registries)
    assert registries.selectors.build({"type": "Mine", "blocks": [2]}, path="model.selectors.0").blocks == [2]


def test_the_selector_passes_the_kit() -> None:
    check_selector(example("A selector")["TextMatch"])


def test_the_head_of_a_selector_trains_it() -> None:
    class Unsupervised(example("A selector")["TextMatch"]):  # type: ignore[misc]
        supervised = False

    head = example("A selector", 1)["Decided"]
    with known(REGISTRIES.heads, head):
        check_head(head)
        check_learns(SelectorCase(Unsupervised, {}, {"decided": {"type": "Decided"}}))


def test_the_table_of_a_selector_names_every_class_attribute() -> None:
    from bus_toolkit.selectors import PatchSelector

    named = set(re.findall(r"^\| `(\w+)` \|", KINDS["A selector"], re.MULTILINE))
    assert {name for name in PatchSelector.__annotations__} <= named


def test_the_decoder_passes_the_kit() -> None:
    check_decoder(example("A decoder")["MeanOfAll"])


def test_the_fusion_passes_the_kit() -> None:
    check_fusion(example("A fusion")["AddTheImage"])


def test_the_prior_passes_the_kit() -> None:
    check_prior(example("A prior")["LikeTheGlobalToken"])


@pytest.mark.parametrize(("number", "name"), [(0, "TwoConvolutions"), (1, "PlainBlocks"), (2, "PlainViT")])
def test_every_backbone_passes_the_kit(number: int, name: str) -> None:
    check_backbone(example("A backbone", number)[name])


@pytest.mark.parametrize("number, name, block", [(0, "TwoConvolutions", 1), (1, "PlainBlocks", 2)])
def test_selectors_act_around_blocks_that_nobody_takes_apart(number: int, name: str, block: int) -> None:
    part = example("A backbone", number)[name]
    with known(REGISTRIES.backbones, part):
        model = tiny_model(
            {"itc": {"type": "ITCHead", "feature_dim": 8}},
            backbone={"type": name},
            selectors=[{"type": "Random", "blocks": [block], "keep_ratio": 0.5}],
        )
    assert_trains(model)


def test_selectors_act_inside_the_transformer() -> None:
    part = example("A backbone", 2)["PlainViT"]
    with known(REGISTRIES.backbones, part):
        model = tiny_model(
            {"itc": {"type": "ITCHead", "feature_dim": 8}},
            backbone={"type": "PlainViT"},
            selectors=[{"type": "TRIPS", "blocks": [2], "keep_ratio": 0.5}],
        )
    assert_trains(model)


def test_the_head_passes_the_kit() -> None:
    check_head(example("A head")["PullTogether"])


def test_the_head_declares_what_every_head_can() -> None:
    from bus_toolkit.heads import VLPHead

    missing = [name for name in VLPHead.__annotations__ if f"`{name}`" not in KINDS["A head"] and name != "provides"]
    assert [name for name in missing if f"{name} =" not in KINDS["A head"]] == []


def test_the_tokenizer_serves_a_model() -> None:
    letters = example("A tokenizer")["Letters"]
    ids, mask = letters()(["a cat", "Zoo 1"])
    assert ids.tolist()[0] == [2, 5, 31, 7, 5, 24, 3] and mask.all() and letters().decode(ids[1]) == "zoo "
    with known(REGISTRIES.tokenizers, letters):
        model = tiny_model(
            {"itc": {"type": "ITCHead", "feature_dim": 8}}, tokenizer={"type": "Letters", "max_length": 8}
        )
    assert_trains(model)


def test_the_conditioning_mode_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from bus_toolkit.models import Conditioning, conditioning
    from bus_toolkit.structures import Condition

    monkeypatch.setattr(conditioning, "_MODES", dict(conditioning._MODES))
    example("A conditioning mode")["register_components"](None)
    rule = Conditioning(mode="words_hidden")
    assert rule.condition(Condition.MASKED) is Condition.MASKED and rule.condition(None) is Condition.CAPTION


@pytest.mark.parametrize(
    "title, name, kind",
    [
        ("A tokenizer", "Letters", "tokenizer"),
        ("A transform", "Invert", "transform"),
        ("A hook", "CountSteps", "hook"),
        ("An optimizer", "SignSGD", "optimizer"),
        ("A scheduler", "HalveEvery", "scheduler"),
    ],
)
def test_parts_of_other_kinds_pass_the_kit(title: str, name: str, kind: str) -> None:
    settings = {"every": 5} if kind == "scheduler" else {}  # the kit looks at a dozen steps
    getattr(testing, f"check_{kind}")(example(title)[name], **settings)


def test_the_metric_reports_a_mean() -> None:
    part = example("A metric")["MeanPull"]
    with registered(METRICS, part):
        metric = METRICS.build({"type": "bus_toolkit.MeanPull"})
    metric.process({}, [{"pull_score": 0.25}, {"pull_score": 0.75}])
    assert metric.evaluate(2) == {"pull/mean": 0.5}


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "cat.png"
    cv2.imwrite(str(path), np.full((8, 8, 3), 10, np.uint8))
    return str(path)


def test_the_data_set_and_the_transform_give_packed_samples(picture: str) -> None:
    data, transform = example("A data set")["OneWord"], example("A transform")["Invert"]
    with registered(DATASETS, data), registered(TRANSFORMS, transform):
        pipeline = [{"type": f"bus_toolkit.{name}"} for name in ("LoadImage", "Invert", "PackRegions")]
        (sample,) = [
            DATASETS.build({"type": "bus_toolkit.OneWord", "pictures": {picture: "cat"}, "pipeline": pipeline})[0]
        ]
    assert sample["data_samples"].text == "cat" and (sample["inputs"] == 245).all()


def test_the_hook_counts_the_steps(caplog: pytest.LogCaptureFixture) -> None:
    part = example("A hook")["CountSteps"]
    with registered(HOOKS, part):
        hook = HOOKS.build({"type": "bus_toolkit.CountSteps", "interval": 2})
    runner = type("Runner", (), {"logger": __import__("logging").getLogger("steps")})
    with caplog.at_level("INFO"):
        for number in range(3):
            hook.after_train_iter(runner, number)
    assert hook.steps == 3 and caplog.messages == ["2 steps"]


def test_the_optimizer_and_the_scheduler_move_a_weight() -> None:
    optimizer, scheduler = example("An optimizer")["SignSGD"], example("A scheduler")["HalveEvery"]
    weight = torch.nn.Parameter(torch.ones(2))
    with registered(OPTIMIZERS, optimizer), registered(PARAM_SCHEDULERS, scheduler):
        built = OPTIMIZERS.build({"type": "bus_toolkit.SignSGD", "params": [weight], "lr": 0.5})
        plan = PARAM_SCHEDULERS.build(
            {"type": "bus_toolkit.HalveEvery", "optimizer": built, "every": 2, "by_epoch": False}
        )
    rates = []
    for _ in range(4):
        weight.grad = torch.tensor([3.0, -2.0])
        rates.append(built.param_groups[0]["lr"])
        built.step()
        plan.step()
    assert rates == [0.5, 0.5, 0.25, 0.25] and weight.tolist() == [-0.5, 2.5]


def test_optimizer_and_scheduler_are_named_in_a_yaml() -> None:
    from bus_toolkit import load_config

    optimizer, scheduler = example("An optimizer")["SignSGD"], example("A scheduler")["HalveEvery"]
    with registered(OPTIMIZERS, optimizer), registered(PARAM_SCHEDULERS, scheduler):
        plan = "param_scheduler=[{type: HalveEvery, every: 100, by_epoch: false}]"
        config = load_config("bus/bus_scenes_tiny", ["optim_wrapper.optimizer.type=SignSGD", plan])
    assert config.optim_wrapper.optimizer.type.endswith("SignSGD") and config.param_scheduler[0].every == 100


def test_every_kind_has_an_example() -> None:
    titles = [title for title in KINDS if title.startswith(("A ", "An "))]
    assert len(titles) == 14 and all("```python" in KINDS[title] for title in titles)
