"""The table of built-in parts is complete, and each entry resolves."""

from __future__ import annotations

import importlib
import inspect

import pytest

from bus_toolkit.plugin.builtin import MODEL_BUILDERS, PARTS, RUNNER_PACKAGES, resolve
from bus_toolkit.registry import RUNNER_REGISTRIES, SCOPE, Registries

FOLDERS = {kind: kind for kind in PARTS} | {"fusions": "fusion"}
# Exported for plugin authors, and no part of their own.
NO_PARTS = {
    "backbones": {
        "BlocksAdapter",
        "FeatureMapAdapter",
        "TokenPositions",
        "TokenReducingBackbone",
        "TransformerAdapter",
        "ViTBlockAccess",
    },
    "selectors": {"BlockAccess", "BlockView", "Decision", "MergingSelector", "PatchSelector"},
    "priors": {"FusionPrior"},
    "fusions": {"LayeredFusion"},
    "tokenizers": {"TextTokenizer"},
    "text_decoders": {"CausalLanguageModel", "Generated", "Ranked", "Rereading", "SearchRules"},
}
ENTRIES = [(kind, name) for kind, members in PARTS.items() for name in members]


@pytest.mark.parametrize(("kind", "name"), ENTRIES, ids="-".join)
def test_each_entry_resolves_to_a_class_or_function_of_its_folder(kind: str, name: str) -> None:
    target = PARTS[kind][name]
    part = resolve(target)
    assert callable(part) and target.startswith(f"{FOLDERS[kind]}.")
    assert part.__name__ == target.partition(":")[2]


def test_every_kind_has_built_in_parts() -> None:
    assert list(PARTS) == list(Registries.__dataclass_fields__)


@pytest.mark.parametrize("kind", [kind for kind in PARTS if kind != "heads"])
def test_every_exported_part_is_in_the_table(kind: str) -> None:
    package = importlib.import_module(f"bus_toolkit.{FOLDERS[kind]}")
    exported = {name for name in package.__all__ if inspect.isclass(getattr(package, name))}
    registered = {resolve(target).__name__ for target in PARTS[kind].values()}
    assert exported - NO_PARTS.get(kind, set()) - registered == set()


def test_every_exported_head_is_in_the_table() -> None:
    from bus_toolkit import heads

    exported = {getattr(heads, name) for name in heads.__all__}
    classes = {cls for cls in exported if inspect.isclass(cls) and issubclass(cls, heads.VLPHead)}
    assert classes - {heads.VLPHead} == {resolve(target) for target in PARTS["heads"].values()}


def test_model_builders_resolve() -> None:
    assert {name: resolve(target).__name__ for name, target in MODEL_BUILDERS.items()} == {
        "VLPModel": "build_vlp_model",
        "CaptionLanguageModel": "build_caption_lm",
        "CausalVLM": "build_causal_vlm",
        "TokenReducedViT": "TokenReducedViT",
    }


def test_the_runners_packages_register_their_members() -> None:
    for package in RUNNER_PACKAGES:
        importlib.import_module(f"bus_toolkit.{package}")
    registered = {name for registry in RUNNER_REGISTRIES for name in registry.module_dict}
    assert {"SceneDataset", "PackRegions", "RetrievalRecall", "ReportHook", "VLPEvalLoop"} <= registered
    assert all(registry.scope == SCOPE for registry in RUNNER_REGISTRIES)
