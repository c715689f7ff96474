"""Every part that is shipped, and the towers of other libraries, can be counted, by shapes alone and on numbers."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.analysis.benchmark.workload import Workload, made_up_batch
from bus_toolkit.analysis.macs import count_macs, count_macs_by_part, text_semantic_macs
from bus_toolkit.analysis.meta_macs import MacCounter
from bus_toolkit.models.build import build_model
from bus_toolkit.plugin.manager import list_plugins
from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.testing.matrix import tower_selectors
from bus_toolkit.testing.tiny import SIZES
from tests.analysis.toy import WIDTH, toy
from tests.backbones.test_towers_train import TOWERS

list_plugins()  # loads them, so that their parts are here too
ITM = {"itm": {"type": "ITMHead"}}
ITC = {"itc": {"type": "ITCHead", "feature_dim": 16}}
FUSION = {"type": "CrossAttentionFusion", "num_layers": 1, "num_heads": 4}
WRITER = {"type": "BertTextDecoder", "num_layers": 1, "num_heads": 4, "max_text_length": 16}
STREAM = {"text_encoder": {"type": "BertTextEncoder", "num_layers": 0, "hidden_size": WIDTH}, "heads": ITM}
STREAM |= {"fusion": {"type": "SingleStreamFusion"}}
# What heads need beside a fusion.
BESIDE: dict[str, dict[str, Any]] = {
    "TeacherDistillHead": {"momentum": {}},
    "GuidanceHead": {"selectors": [{"type": "CrossGET", "blocks": [1], "keep_ratio": 0.5}]},
    "KeepRatioHead": {"selectors": [{"type": "DynamicViT", "blocks": [1], "keep_ratio": 0.5}]},
}


def node(registry: PartRegistry, name: str) -> dict[str, Any]:
    settings = {**SIZES, "blocks": [1], "keep_ratio": 0.5, "num_classes": 2, "in_study": True}
    return {"type": name, **{k: v for k, v in settings.items() if k in registry.get(name).signature.arguments}}


def models() -> dict[str, dict[str, Any]]:
    """Return by name the ``model`` part of a config around each part."""
    named = {f"tower {name}": toy(32, backbone=tower) for name, tower in TOWERS.items()}
    for name in REGISTRIES.selectors.names():
        around = {} if name in (*tower_selectors(), "OracleBoxes") else STREAM
        named[f"selector {name}"] = toy(32, selectors=[node(REGISTRIES.selectors, name)], **around)
    for name in REGISTRIES.decoders.names():
        named[f"decoder {name}"] = toy(32, decoder=node(REGISTRIES.decoders, name))
    for name in REGISTRIES.fusions.names():
        named[f"fusion {name}"] = toy(32, heads=ITM, fusion=node(REGISTRIES.fusions, name))
    for name in REGISTRIES.priors.names():
        reads = {"heads": ITM, "fusion": FUSION, "selectors": [node(REGISTRIES.selectors, "Random")]}
        named[f"prior {name}"] = toy(32, prior=node(REGISTRIES.priors, name), **reads)
    for name in REGISTRIES.heads.names():
        heads = {**ITC, "checked": node(REGISTRIES.heads, name)}
        parts = {"fusion": FUSION, "text_decoder": WRITER, **BESIDE.get(name, {})}
        named[f"head {name}"] = toy(32, heads={"checked": heads["checked"]} if name == "ITCHead" else heads, **parts)
    return named


MODELS = models()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_forward_passes_and_steps_are_counted_alike_on_shapes_and_on_numbers(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    if "TimmVision" in str(MODELS[name]):
        pytest.importorskip("timm")
    built = build_model(MODELS[name])
    load = Workload(built, "model", made_up_batch(built, 2, 8))
    forward, step = count_macs(load.forward), count_macs(load.step)
    assert 0 < forward < step
    by_part = count_macs_by_part(load.forward, load.parts, rest="rest")
    assert sum(by_part.values()) == forward and by_part["backbone"] > WIDTH**2
    assert MacCounter("step", 8).macs(MODELS[name]) == step // 2
    # The reward is of texts, which shapes do not have.
    assert ("Cannot count by shapes alone" in caplog.text) == name.endswith("SelfCriticalCaptionHead")


def test_the_scorer_of_a_prior_counts_as_a_part_of_its_own() -> None:
    built = build_model(MODELS["prior TextScorePrior"])
    load = Workload(built, "pair", made_up_batch(built, 2, 8))
    left = load.tokens_for_decoder()
    expected = 2 * text_semantic_macs(left, built.backbone.embed_dim, WIDTH, product=True, fuse=False)
    assert count_macs_by_part(load.forward, load.parts, rest="rest")["prior"] == expected
