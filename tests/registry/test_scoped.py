"""What is ours can be built by OpenMMLab's registries, by scope; their own names go on meaning their own."""

from __future__ import annotations

from typing import Any

import mmengine.registry
import mmpretrain.models  # noqa: F401 (fills the registry)
import mmpretrain.registry
import pytest
from torch import nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.plugin.manager import load_plugins
from bus_toolkit.registry import MODELS, REGISTRIES, RUNNER_REGISTRIES, SCOPE, PartRegistry
from bus_toolkit.registry.scoped import ModelRegistry

load_plugins()
PARTS = [(parts, name) for parts in REGISTRIES.all() for name in parts.names()]
OURS = {
    registry.name: [name for name, cls in registry.module_dict.items() if not cls.__module__.startswith("tests.")]
    for registry in RUNNER_REGISTRIES
}


@pytest.mark.parametrize("library", [mmengine.registry, mmpretrain.registry], ids=lambda library: library.__name__)
def test_every_part_of_ours_is_a_model_of_openmmlabs_under_one_name(library: Any) -> None:
    reached = {name: library.MODELS.get(f"{SCOPE}.{name}") for name in MODELS.part_names()}
    assert len(reached) == len(PARTS)
    assert {id(cls) for cls in reached.values()} == {id(parts.get(name).cls) for parts, name in PARTS}


@pytest.mark.parametrize("library", [mmengine.registry, mmpretrain.registry], ids=lambda library: library.__name__)
def test_whatever_a_runner_builds_of_ours_is_in_openmmlabs_registry_of_its_kind(library: Any) -> None:
    trees = [library.DATASETS, library.TRANSFORMS, library.METRICS, library.HOOKS, library.LOOPS]
    trees += [library.DATA_SAMPLERS, library.OPTIM_WRAPPERS]
    for tree in trees:
        ours = next(registry for registry in RUNNER_REGISTRIES if registry.name == tree._get_root_registry().name)
        assert OURS[ours.name]
        for name in OURS[ours.name]:
            assert tree.get(f"{SCOPE}.{name}") is ours.module_dict[name]


def test_openmmlabs_registry_builds_what_ours_builds() -> None:
    node = {"type": "TSPS", "blocks": [6], "embed_dim": 32, "text_dim": 16, "keep_ratio": 0.25}
    theirs = mmpretrain.registry.MODELS.build({**node, "type": "bus_toolkit.TSPS"})
    ours = REGISTRIES.selectors.build(node, path="selector")
    assert type(theirs) is type(ours) and repr(theirs) == repr(ours)
    decoder = {"type": "bus_toolkit.PAD", "num_queries": 4, "embed_dim": 32, "num_heads": 4}
    assert isinstance(mmengine.registry.MODELS.build(decoder), nn.Module)


def test_a_name_of_two_kinds_is_refused_with_both_full_names() -> None:
    with pytest.raises(ComponentError, match=r"bus_toolkit\.IdentitySelector or bus_toolkit\.IdentityDecoder"):
        mmpretrain.registry.MODELS.get("bus_toolkit.Identity")
    for kind in ("selectors", "decoders"):
        registry: PartRegistry = getattr(REGISTRIES, kind)
        long = f"bus_toolkit.Identity{kind.removesuffix('s').capitalize()}"
        assert mmpretrain.registry.MODELS.get(long) is registry.get("Identity").cls


def test_openmmlabs_parts_of_the_same_name_stay_what_they_were() -> None:
    for name in ("ITCHead", "ITMHead"):
        assert mmpretrain.registry.MODELS.get(name).__module__.startswith("mmpretrain.")
        assert mmpretrain.registry.MODELS.get(f"bus_toolkit.{name}").__module__.startswith("bus_toolkit.")


def test_an_unknown_name_is_unknown_and_a_model_of_the_name_comes_first() -> None:
    assert mmpretrain.registry.MODELS.get("bus_toolkit.VLPModel") is MODELS.module_dict["VLPModel"]
    with pytest.raises(ComponentError, match=r"no model and no part of ours is named 'TSPZ'.* Did you mean 'TSPS'\?"):
        mmpretrain.registry.MODELS.build({"type": "bus_toolkit.TSPZ"})
    assert "TSPZ" not in MODELS and "TSPS" in MODELS
    lone = ModelRegistry("model", scope="lone")  # no child of OpenMMLab's
    lone.register_module(name="TSPS", module=nn.ReLU)
    assert lone.get("TSPS") is nn.ReLU and "TSPSSelector" in lone.part_names()
    assert lone.get("TSPSSelector") is REGISTRIES.selectors.get("TSPS").cls
