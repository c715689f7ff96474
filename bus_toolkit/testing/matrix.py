"""The swap matrix: every selector with every decoder, and with every backbone and fusion, trained for two steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from bus_toolkit.errors import BusError
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.step.pass_key import PassCount
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import TINY_HEADS, tiny_batch, tiny_model

_PREDICTED = ("pred_answer", "pred_caption", "pred_box", "pred_label", "image_feats")
# mmpretrain's own transformer is tried in place of all others that it has.
_HOST_BACKBONES = ("mmpretrain.VisionTransformer",)


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes:
        parts: Registry slot to the part's name.
        tokens: Visual tokens after each selector and after the decoder, in training.
        problem: Why it was refused or what went wrong; empty if it trains.
    """

    parts: dict[str, str]
    tokens: str
    problem: str


def swap_matrix() -> Iterator[Cell]:
    """Yield every combination, tried."""
    selectors, decoders, backbones, fusions = part_names().values()
    for selector, decoder in product(selectors, decoders):
        yield try_combination({"selectors": selector, "decoder": decoder})
    for selector, backbone, fusion in product(selectors, backbones, fusions):
        yield try_combination({"selectors": selector, "backbone": backbone, "fusion": fusion})


def num_combinations() -> int:
    """Return how many combinations :func:`swap_matrix` tries."""
    selectors, decoders, backbones, fusions = map(len, part_names().values())
    return selectors * (decoders + backbones * fusions)


def part_names() -> dict[str, list[str]]:
    """Return slot to the parts that the matrix puts there: those of models with towers."""
    return {
        "selectors": tower_selectors(),
        "decoder": REGISTRIES.decoders.names(),
        "backbone": [*_HOST_BACKBONES, *REGISTRIES.backbones.names()],
        "fusion": [
            name for name in REGISTRIES.fusions.names() if REGISTRIES.fusions.get(name).cls != SingleStreamFusion
        ],
    }


def tower_selectors() -> list[str]:
    """Return the names of the selectors that need neither words in the blocks of the backbone nor the answer."""
    entries = {name: REGISTRIES.selectors.get(name).cls for name in REGISTRIES.selectors.names()}
    needs = ("needs_word_stream", "needs_boxes")
    return [name for name, kind in entries.items() if not any(getattr(kind, need, False) for need in needs)]


def try_combination(parts: dict[str, str]) -> Cell:
    """Train two steps with all objectives and tasks, predict, and check all that comes out.

    Args:
        parts: Slot to the part's name; the other slots keep the tiny model's own parts.
    """
    try:
        model = tiny_model(TINY_HEADS, **_nodes(parts))
    except BusError as error:
        return Cell(parts, "", f"refused: {error}")
    try:
        problem = _train(model)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    return Cell(parts, _tokens(model), problem)


def _train(model: VLPModel) -> str:
    """Train two steps; return what is wrong, or nothing."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, samples = tiny_batch()
    for step in range(2):
        model.set_progress(0.0, step)
        optimizer.zero_grad()
        losses = model.loss(images, samples)
        bad = [name for name, value in losses.items() if not torch.isfinite(value)]
        if bad:
            return f"step {step + 1}: {', '.join(bad)} not finite"
        torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"step {step + 1}: the gradient of {name} is not finite"
        optimizer.step()
    with torch.no_grad():
        # Still in training, as the counts are: some selectors only mask there what they drop in evaluation.
        visual = model.encode(images, ["a red star"] * 3 if model.encoders.reads_text else None)
        predicted = model.eval().predict(images, samples)
    counted, real = _first(model).tokens["decoder"], visual.embeds.shape[1]
    if counted != real:
        return f"{counted} tokens are reported, {real} come out"
    missing = [name for name in _PREDICTED if any(sample.get(name) is None for sample in predicted)]
    return f"no sample gets {', '.join(missing)}" if missing else ""


def _first(model: VLPModel) -> PassCount:
    """Return what the pass under the own caption cost, or, where no part reads text, the only one."""
    return model.token_counts.get("caption") or model.token_counts["free"]


def _tokens(model: VLPModel) -> str:
    return " > ".join(str(count) for count in _first(model).tokens.values()) if model.token_counts else ""


def _nodes(parts: dict[str, str]) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for slot, name in parts.items():
        registry: PartRegistry = next(r for r in REGISTRIES.all() if r.slot == slot)
        node = tiny_node(registry, name)
        nodes[slot] = [node] if slot == "selectors" else node
    return nodes


def tiny_node(registry: PartRegistry, name: str) -> dict[str, Any]:
    """Return the node of a part with tiny settings for what it takes."""
    known = {
        **tiny.SIZES,
        **{key: value for key, value in tiny.VISION_TRANSFORMER.items() if key != "type"},
        **(tiny.BACKBONES.get(name, {}) if registry is REGISTRIES.backbones else {}),
        "blocks": [2],
        "keep_ratio": 0.5,
    }
    takes = registry.get(name).signature.arguments
    return {"type": name, **{key: value for key, value in known.items() if key in takes}}
