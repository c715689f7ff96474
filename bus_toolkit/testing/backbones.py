"""The conformance kit for backbones whose tokens selectors may drop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.structures import VisualTokens
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Case, Inputs, PartFactory, differ, run_checks
from bus_toolkit.testing.common import COMMON_CHECKS


class BackboneCase(Case):
    """A backbone on images of 32 x 32 pixels."""

    def __init__(self, part: str | Callable[..., nn.Module], settings: dict[str, Any]) -> None:
        sizes = {key: value for key, value in tiny.VISION_TRANSFORMER.items() if key != "type"}
        named = tiny.BACKBONES.get(part, {}) if isinstance(part, str) else {}
        super().__init__(PartFactory(REGISTRIES.backbones, part, settings, {**sizes, **named}, {}))

    @override
    def inputs(self) -> Inputs:
        return {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE)}

    def visual(self, part: nn.Module, inputs: Inputs, *selectors: RandomSelector) -> VisualTokens:
        """Run it with the selectors between its blocks."""
        return TokenReducingBackbone(part, selectors)(inputs["images"])

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        return [self.visual(part, inputs).embeds]


def check_backbone(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that selectors can work in a backbone (``bus_toolkit.backbones.TokenReducingBackbone``).

    Args:
        part: Its registered name (``mmpretrain.VisionTransformer``), or its class.
        **settings: Its arguments; ``arch``, ``img_size``, ``patch_size`` and ``out_type`` have tiny values where it
            takes them, and whatever else the registered ones need.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    checks = (check_tokens, check_parts_of_a_pass, check_tokens_drop, check_bare_weights, *COMMON_CHECKS)
    run_checks(BackboneCase(part, settings), checks)


def check_tokens(case: BackboneCase) -> None:
    """One token a patch comes out, prefix tokens first, as wide as the other parts are built for."""
    part = case.build()
    visual = case.visual(part, case.inputs())
    rows, columns = visual.grid
    wanted = (tiny.BATCH, visual.num_prefix + rows * columns, adapter_of(part).embed_dim)
    assert visual.embeds.shape == wanted, f"tokens have shape {tuple(visual.embeds.shape)}, not {wanted}"


def check_parts_of_a_pass(case: BackboneCase) -> None:
    """The blocks before the first selector and those after it make the whole, bit for bit."""
    reduced = TokenReducingBackbone(case.build(), [RandomSelector(blocks=[2], keep_ratio=0.5)]).eval()
    images = case.inputs()["images"]
    in_parts = reduced.forward_conditioned(reduced.forward_shared(images)).embeds
    problem = differ([in_parts], [reduced(images).embeds], 0.0)
    assert not problem, problem


def check_tokens_drop(case: BackboneCase) -> None:
    """Dropped tokens are gone, and keeping all changes nothing, bit for bit."""
    part, inputs = case.build(), case.inputs()
    plain = case.visual(part, inputs)
    patches = plain.grid[0] * plain.grid[1]
    half = case.visual(part, inputs, RandomSelector(blocks=[1], keep_ratio=0.5).eval())
    left = half.embeds.shape[1] - half.num_prefix
    assert left == patches // 2, f"half of {patches} patches are kept, {left} tokens come out"
    assert torch.isfinite(half.embeds).all(), "tokens are not finite after a selector"
    everything = case.visual(part, inputs, RandomSelector(blocks=[1], keep_ratio=1.0))
    problem = differ([everything.embeds], [plain.embeds], 0.0)
    assert not problem, f"keep_ratio 1: {problem}"


def check_bare_weights(case: BackboneCase) -> None:
    """Weights saved from the bare backbone load into the token-reducing one without renaming."""
    source = case.build()
    case.seed += 1
    try:
        reduced = TokenReducingBackbone(case.build()).eval()
    finally:
        case.seed -= 1
    reduced.load_state_dict(source.state_dict())
    problem = differ([reduced(case.inputs()["images"]).embeds], case.run(source, case.inputs()), 0.0)
    assert not problem, problem
