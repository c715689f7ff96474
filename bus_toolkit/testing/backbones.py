"""The conformance kit for backbones whose tokens selectors may drop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.structures import VisualTokens
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Case, Inputs, PartFactory, differ, run_checks
from bus_toolkit.testing.common import COMMON_CHECKS
from bus_toolkit.testing.model import tiny_batch, tiny_model


class BackboneCase(Case):
    """A backbone on images of the size that its adapter says, 32 x 32 pixels where it takes ``img_size``."""

    def __init__(self, part: str | Callable[..., nn.Module], settings: dict[str, Any]) -> None:
        sizes = {key: value for key, value in tiny.VISION_TRANSFORMER.items() if key != "type"}
        named = tiny.BACKBONES.get(part, {}) if isinstance(part, str) else {}
        super().__init__(PartFactory(REGISTRIES.backbones, part, settings, {**sizes, **named}, {}))
        self._sizes: TransformerAdapter | None = None

    @property
    def sizes(self) -> TransformerAdapter:
        """What it says about its sizes."""
        if self._sizes is None:
            self._sizes = adapter_of(self.build())
        return self._sizes

    @override
    def inputs(self) -> Inputs:
        return {"images": tiny.numbers(tiny.BATCH, 3, *self.sizes.image_size)}

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
    checks = (
        check_tokens,
        check_parts_of_a_pass,
        check_tokens_drop,
        check_bare_weights,
        check_positions,
        check_trains,
        *COMMON_CHECKS,
    )
    run_checks(BackboneCase(part, settings), checks)


def check_tokens(case: BackboneCase) -> None:
    """One token a patch comes out, prefix tokens first, as wide as the other parts are built for."""
    visual, sizes = case.visual(case.build(), case.inputs()), case.sizes
    rows, columns = visual.grid
    wanted = (tiny.BATCH, visual.num_prefix + rows * columns, sizes.embed_dim)
    assert visual.embeds.shape == wanted, f"tokens have shape {tuple(visual.embeds.shape)}, not {wanted}"
    assert torch.isfinite(visual.embeds).all(), "tokens are not finite"
    for pixels, patch in zip(sizes.image_size, sizes.patch_size, strict=True):
        assert pixels % patch == 0, f"patches of {sizes.patch_size} pixels do not tile an image of {sizes.image_size}"


def check_parts_of_a_pass(case: BackboneCase) -> None:
    """The blocks before the first selector and those after it make the whole, bit for bit."""
    block = min(2, len(case.sizes.layers))
    reduced = TokenReducingBackbone(case.build(), [RandomSelector(blocks=[block], keep_ratio=0.5)]).eval()
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


def check_positions(case: BackboneCase) -> None:
    """A vector for each patch is among ``position_tables()``, so that weights of another grid are noticed."""
    adapter = case.sizes
    known = {table.name for table in adapter.position_tables()}
    patches = adapter.position_grid[0] * adapter.position_grid[1]
    rows = {patches, patches + adapter.num_prefix}
    for path, module in adapter.vit.named_modules():
        # Matrices of torch's layers may be of such a shape by chance.
        if type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Embedding):
            continue
        for name, one in module.named_parameters(path, recurse=False):
            is_table = one.dim() >= 2 and one.shape[-1] == adapter.embed_dim and one.shape[-2] in rows
            assert not is_table or name in known, (
                f"{name} has a row for each patch, and position_tables() does not name it: weights of another grid of "
                "patches with as many rows would be taken as they are"
            )


def check_trains(case: BackboneCase) -> None:
    """In a model it is initialised and trained: the losses are finite, and a gradient reaches it."""
    head = {"itc": {"type": "ITCHead", "feature_dim": 16}}
    decoder = {"type": "Identity"}  # for any width
    with case.factory.registered() as name:
        node = {"type": name, **case.factory.settings}
        model = tiny_model(head, backbone=node, selectors=[], decoder=decoder, fusion=None, text_decoder=None)
    model.init_weights()
    images, samples = tiny_batch()
    images = torch.nn.functional.interpolate(images, size=model.backbone.image_size)
    losses = [value for key, value in model.train().loss(images, samples).items() if key.startswith("loss")]
    assert losses and all(torch.isfinite(loss) for loss in losses), "a loss is not finite"
    torch.stack(losses).sum().backward()
    missed = [n for n, p in model.backbone.vit.named_parameters() if p.requires_grad and p.grad is None]
    assert not missed, f"no gradient reaches {', '.join(missed)}"


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
