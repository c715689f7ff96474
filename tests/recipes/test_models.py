"""The model of every recipe, built once and without numbers: its size, its decays, and the weights it starts from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from bus_toolkit import build_model
from bus_toolkit.config import list_configs
from bus_toolkit.engine.parameter_groups import own_constructor
from bus_toolkit.models.momentum import copied_parts
from bus_toolkit.shipped import config_folder
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.settings import Pretrained, load_model
from tests.recipes.shipped import config_of, is_own
from tests.recipes.stand_ins import write_stand_ins

Check = Callable[[str], None]


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in a folder with the files that a model is built from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("models"))
        write_stand_ins()
        yield


@lru_cache(maxsize=1)  # a model of shapes alone takes 10 MB; the checks of a recipe follow each other
def built(recipe: str) -> Any:
    with torch.device("meta"):
        return build_model(config_of(recipe))


@cache
def weights_of(recipe: str) -> dict[str, torch.Tensor]:
    """Return the weights of a first stage without numbers; many second stages start from one."""
    with torch.device("meta"):
        return build_model(config_of(recipe)).state_dict()


def has_its_size(recipe: str) -> None:
    # The tiny reference of PRIOR models short captions alone, and questions on needles have 26 words.
    least = 2e5 if recipe.endswith(("/reference_scenes_tiny", "/needles_causal")) else 1e6
    assert sum(p.numel() for p in built(recipe).parameters()) > least


def decays_no_norm_bias_or_single_number(recipe: str) -> None:
    model, optim = built(recipe), config_of(recipe).optim_wrapper
    paramwise, optimizer = optim.paramwise_cfg.to_dict(), optim.optimizer.to_dict()
    node = {"type": "OptimWrapper", "constructor": own_constructor(None)}
    groups = build_optim_wrapper(model, {**node, "paramwise_cfg": paramwise, "optimizer": optimizer}).optimizer
    decays = {parameter: group["weight_decay"] for group in groups.param_groups for parameter in group["params"]}
    norms = {f"{name}.weight" for name, part in model.named_modules() if "Norm" in type(part).__name__}
    for name, parameter in model.named_parameters():
        if parameter in decays and (name in norms or name.endswith("bias") or parameter.ndim <= 1):
            assert decays[parameter] == 0.0, name
        if parameter in decays and recipe.endswith("tiny") and name.endswith(("query.weight", "key.weight")):
            assert decays[parameter] > 0.0, name


def fits_the_weights_that_it_starts_from(recipe: str) -> None:
    """By the parts that its ``load_from`` names."""
    model, first = built(recipe), first_of(recipe)
    assert first is not None
    start = Pretrained.parse(config_of(recipe).load_from)
    rule = LoadRule(copies=copied_parts(model))
    assert load_model(model, source_of({"state_dict": weights_of(first)}, first), start, rule, "load_from").loaded


def first_of(recipe: str) -> str | None:
    """Return the recipe that is trained in the work dir which ``recipe`` starts from."""
    run = re.search(r"work_dirs/(\w+)/epoch_\d+\.pth", str(config_of(recipe).get("load_from")))
    if run is None:
        return None
    (first,) = (name for name in list_configs() if name.endswith(f"/{run[1]}"))
    return first


def has_decays_of_its_own(recipe: str) -> bool:
    """Return whether it has a schedule of its own, or fine-tunes one system on each task.

    BLIP lets all parameters decay.
    """
    if recipe.startswith("own_data/") or "_blip_" in recipe or not config_of(recipe).get("optim_wrapper"):
        return False
    return recipe.startswith("bus/") or "_base_/task_" not in (config_folder() / f"{recipe}.yaml").read_text()


def checks() -> Iterator[tuple[str, Check]]:
    """Yield each check of each recipe. A system's models of the other tasks differ from these in a head;
    ``tests.recipes.downstream`` builds all.
    """
    for recipe in list_configs():
        if is_own(recipe):
            yield recipe, has_its_size
        if has_decays_of_its_own(recipe):
            yield recipe, decays_no_norm_bias_or_single_number
        if first_of(recipe) is not None:
            yield recipe, fits_the_weights_that_it_starts_from


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "check"), checks(), ids=lambda value: getattr(value, "__name__", value))
def test_the_model(recipe: str, check: Check) -> None:
    check(recipe)
