"""Each method where it is published: in a language model's layers, on its projected input, in its tower."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from bus_vlm.fastv import FastVSelector
from bus_vlm.pyramid_drop import PyramidDropSelector
from torch import Tensor

from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import PatchSelector
from tests.huggingface.tiny import FAMILIES, GENERATION, IMAGE, build, logits

ONE = {"blocks": [1], "keep_ratio": 0.5}
# Arguments of reduce_tokens, and the visual tokens of 16 that leave the language model.
PLACES: dict[str, tuple[dict[str, Any], int]] = {
    "FastV": ({"selectors": {"type": "FastV", "blocks": [2], "keep_ratio": 0.5}}, 8),
    "DART": ({"selectors": {"type": "DART", "blocks": [2], "keep_ratio": 0.5}}, 8),
    "PyramidDrop": ({"selectors": {"type": "PyramidDrop", "blocks": [2, 3, 4]}}, 2),
    "SparseVLM": ({"selectors": {"type": "SparseVLM", "blocks": [1, 2, 3], "keep_ratio": 0.75}}, 6),
    "DivPrune": ({"projected": {"type": "DivPrune", **ONE}}, 8),
    "CDPruner": ({"projected": {"type": "CDPruner", **ONE}}, 8),
    "VisionZip": ({"vision": {"type": "VisionZip", "blocks": [2], "keep_ratio": 0.5}}, 8),
    "PruMerge": ({"vision": {"type": "PruMerge", "blocks": [2], "keep_ratio": 0.5, "num_neighbors": 2}}, 9),
    "VisPruner": ({"vision": {"type": "VisPruner", "blocks": [2], "keep_ratio": 0.5}}, 8),
    "Random before": ({"projected": {"type": "Random", **ONE}}, 8),
    "Random inside": ({"selectors": {"type": "Random", "blocks": [2], "keep_ratio": 0.5}}, 8),
    "UniformGrid": ({"projected": {"type": "UniformGrid", **ONE}}, 8),
    "GridPool": ({"projected": {"type": "GridPool", **ONE}}, 8),
    "GridPool inside": ({"selectors": {"type": "GridPool", "blocks": [2], "keep_ratio": 0.5}}, 8),
}
# The patches of Qwen2.5-VL are no visual tokens one to one, so that its tower has no place for these.
IN_TOWER = {"VisionZip", "PruMerge", "VisPruner"}
CASES = [
    (family, name) for family in ("llava", "qwen2_5_vl") for name in PLACES if family == "llava" or name not in IN_TOWER
]


@pytest.mark.parametrize(("family", "name"), CASES)
def test_runs_where_it_is_published(family: str, name: str) -> None:
    tiny = build(family)
    inputs, (settings, count) = tiny.batch(), PLACES[name]
    with reduce_tokens(tiny.model, **settings) as reduction:
        found = logits(tiny.model, inputs)
        assert reduction.counts == (count, count)
        assert found.isfinite().all() and found.shape[:2] == inputs["input_ids"].shape
        assert tiny.model.generate(**inputs, **GENERATION).shape[1] > found.shape[1]
    assert not torch.equal(found, logits(tiny.model, inputs)), "without the selector the answers are others"


def eager_maps(tiny: Any, inputs: dict[str, Any]) -> list[Tensor]:
    """Return the mean-head attention map (B, W, W) of each layer without any selector."""
    tiny.model.set_attn_implementation("eager")
    with torch.no_grad():
        maps = tiny.model(**inputs, output_attentions=True).attentions
    return [one.mean(dim=1) for one in maps]


def to_visual(rows: Tensor, tiny: Any, inputs: dict[str, Any]) -> Tensor:
    """Return attention (B, W) to the visual tokens alone."""
    return rows[inputs["input_ids"] == IMAGE].unflatten(0, (2, tiny.tokens))


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(("selector", "layer"), [(FastVSelector(blocks=[2]), 2), (PyramidDropSelector(blocks=[3]), 3)])
def test_the_row_of_the_eager_map_says_what_stays(family: str, selector: PatchSelector, layer: int) -> None:
    """FastV reads the layer that it acts after, PyramidDrop the one that it acts before."""
    tiny = build(family)
    inputs, half = tiny.batch(), tiny.tokens // 2
    with reduce_tokens(tiny.model, selector) as reduction:
        logits(tiny.model, inputs)
        (selection,) = reduction.selections
        assert reduction.counts == (half, half) and selection.block == 2
    visual = to_visual(eager_maps(tiny, inputs)[layer - 1][:, -1], tiny, inputs)
    torch.testing.assert_close(selection.decision.scores, visual)
    wanted = visual.sort(dim=1, descending=True, stable=True).indices[:, :half].sort(dim=1).values
    assert torch.equal(selection.decision.plan.keep_indices, wanted)


def test_raters_of_sparsevlm_are_found_where_the_language_model_begins() -> None:
    tiny = build("llava")
    inputs, seen = tiny.batch(), list[Tensor]()

    def watch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        seen.append(kwargs["inputs_embeds"])

    handle = tiny.model.get_decoder().register_forward_pre_hook(watch, with_kwargs=True)
    with reduce_tokens(tiny.model, {"type": "SparseVLM", "blocks": [3]}) as reduction:
        logits(tiny.model, inputs)
        (selection,) = reduction.selections
    handle.remove()
    maps = eager_maps(tiny, inputs)[2]
    for row, ids in enumerate(inputs["input_ids"]):
        patches = seen[0][row, ids == IMAGE]
        words = (
            int((ids == IMAGE).nonzero().max()) + 1 + torch.arange(len(ids) - int((ids == IMAGE).nonzero().max()) - 1)
        )
        relevance = (patches @ seen[0][row, words].T).softmax(dim=1).mean(dim=0)
        raters = words[relevance > relevance.mean()]
        wanted = maps[row, raters][:, ids == IMAGE].mean(dim=0)
        torch.testing.assert_close(selection.decision.scores[row], wanted)


@pytest.mark.parametrize("name", ["VisionZip", "VisPruner"])
def test_the_class_token_of_the_last_layer_but_one_ranks_in_the_tower(name: str) -> None:
    tiny, seen = build("llava"), []
    inputs = tiny.batch()
    selector = REGISTRIES.selectors.build({"type": name, "blocks": [2]}, path="test")
    selector.register_forward_hook(lambda module, args, decision: seen.append((args[0], decision)))
    with reduce_tokens(tiny.model, vision=selector):
        logits(tiny.model, inputs)
    tower = tiny.model.model.vision_tower
    tower.set_attn_implementation("eager")
    with torch.no_grad():
        out = tower(inputs["pixel_values"], output_attentions=True, output_hidden_states=True)
    ((view, _),) = seen
    torch.testing.assert_close(view.patches, out.hidden_states[-2][:, 1:])
    torch.testing.assert_close(view.inside.cls_attention(), out.attentions[-2][:, :, 0, 1:].mean(dim=1))


def test_fastv_by_mass_keeps_another_number_in_each_sample() -> None:
    tiny, found = build("llava"), set()
    with reduce_tokens(tiny.model, FastVSelector(blocks=[2], keep_ratio=1.0, mass=0.8)) as reduction:
        for seed in range(4):
            inputs = tiny.batch(seed)
            logits(tiny.model, inputs)
            found.add(reduction.counts)
            wanted = []
            for selection in reduction.selections:
                scores = selection.decision.scores
                held = scores.sort(dim=1, descending=True).values.cumsum(dim=1) / scores.sum(dim=1, keepdim=True)
                # As many as it takes until 0.8 are reached.
                wanted += [1 + int((row < 0.8).sum()) for row in held]
            assert sorted(reduction.counts) == sorted(wanted)
        assert tiny.model.generate(**inputs, **GENERATION).shape[1] > inputs["input_ids"].shape[1]
    assert any(first != second for first, second in found)


def test_pyramid_drop_trains_by_the_last_word_before_the_answer() -> None:
    tiny = build("llava")
    inputs = tiny.batch()
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, -2:] = inputs["input_ids"][:, -2:]
    settings: dict[str, Any] = {"type": "PyramidDrop", "blocks": [2, 3, 4]}
    with reduce_tokens(tiny.model, settings) as reduction:
        tiny.model(**inputs, labels=labels).loss.backward()
        chosen = reduction.selections[0].decision.plan.keep_indices
        # The answer cannot choose: its words may be any.
        other = {**inputs, "input_ids": inputs["input_ids"].clone()}
        other["input_ids"][:, -2:] = 17
        tiny.model(**other, labels=labels)
        assert torch.equal(reduction.selections[0].decision.plan.keep_indices, chosen)
    gradient = tiny.model.get_input_embeddings().weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_the_page_shows_selectors_that_can_be_built() -> None:
    page = (Path(__file__).parents[1] / "README.md").read_text()
    shown = [eval(node) for node in re.findall(r"\{\"type\": .*?\}", page)]
    assert {node["type"] for node in shown} == {name.split()[0] for name in PLACES}
    in_backbones = [yaml.safe_load(node) for node in re.findall(r"\{type: .*?\}", page)]
    for node in [*shown, *in_backbones]:
        REGISTRIES.selectors.build(node, path="page", embed_dim=8, text_dim=8)


def test_prumerge_leaves_out_an_extra_token_that_is_empty() -> None:
    """Kept tokens that reach 7 others each absorb all of the first image, and not all of the second."""
    tiny = build("llava")
    counts = set()
    for seed in range(8):
        with reduce_tokens(tiny.model, vision={**PLACES["PruMerge"][0]["vision"], "num_neighbors": 6}) as reduction:
            assert logits(tiny.model, tiny.batch(seed)).isfinite().all()
            counts |= {reduction.counts}
    assert any(first != second for first, second in counts)
