"""The conformance kit for abstraction decoders, priors and fusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.registry import REGISTRIES, PartRegistry
from bus_toolkit.structures import FusedTokens, VisualTokens
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Case, Inputs, PartFactory, differ, run_checks
from bus_toolkit.testing.common import COMMON_CHECKS


def visual_tokens(inputs: Inputs) -> VisualTokens:
    """Return what a backbone hands on: one prefix token and 8 tokens of two patches each, on a grid of 4 x 4."""
    origin = (torch.arange(16, device=inputs["visual"].device) // 2).expand(inputs["visual"].shape[0], -1)
    return VisualTokens(inputs["visual"], 1, (4, 4), origin=origin, scores=inputs["visual"][:, 1:, 0])


class _TokenCase(Case):
    """A part that reads 9 visual tokens and 6 text tokens."""

    def __init__(
        self, registry: PartRegistry, part: str | Callable[..., nn.Module], settings: Mapping[str, Any]
    ) -> None:
        super().__init__(PartFactory(registry, part, settings, tiny.SIZES, tiny.WIDTHS))

    @override
    def inputs(self) -> Inputs:
        return {"visual": tiny.numbers(tiny.BATCH, 9, tiny.WIDTH), **tiny.text_inputs()}


class DecoderCase(_TokenCase):
    """A decoder that reads the visual tokens."""

    def decoded(self, part: nn.Module, inputs: Inputs, with_text: bool = True) -> VisualTokens:
        """Run the decoder."""
        return part(visual_tokens(inputs), tiny.text_tokens(inputs) if with_text else None)

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        return [self.decoded(part, inputs).embeds]


class FusionCase(_TokenCase):
    """A fusion of both."""

    def fused(self, part: nn.Module, inputs: Inputs) -> FusedTokens:
        """Run the fusion."""
        return _fused(part, inputs, visual_tokens(inputs))

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        # The text counts only where it is not padded.
        fused = self.fused(part, inputs)
        return [fused.text * fused.attention_mask.unsqueeze(-1), fused.cls, fused.visual]


class PriorCase(_TokenCase):
    """A prior for the attention from the text to the visual tokens."""

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        return [part(tiny.text_tokens(inputs), visual_tokens(inputs))]


def _fused(part: nn.Module, inputs: Inputs, visual: VisualTokens) -> FusedTokens:
    text = tiny.text_tokens(inputs)
    if isinstance(getattr(part, "_orig_mod", part), SingleStreamFusion):  # its layers are the blocks of a backbone
        return part(text, visual, TokenReducingBackbone(tiny.vision_transformer_of(inputs["visual"], num_layers=1)))
    return part(text, visual)


def check_decoder(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that an abstraction decoder keeps its contract.

    Args:
        part: Its registered name, or its class.
        **settings: Arguments beside widths, heads, layers and queries, which have tiny values.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(
        DecoderCase(REGISTRIES.decoders, part, settings),
        (check_fewer_tokens, check_decodes_without_text, *COMMON_CHECKS),
    )


def check_fusion(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that a fusion keeps its contract; arguments and errors as for ``check_decoder``."""
    run_checks(
        FusionCase(REGISTRIES.fusions, part, settings),
        (check_fused_shapes, check_padding_unread, check_image_read, *COMMON_CHECKS),
    )


def check_prior(part: str | Callable[..., nn.Module], **settings: Any) -> None:
    """Check that a prior keeps its contract; arguments and errors as for ``check_decoder``."""
    run_checks(PriorCase(REGISTRIES.priors, part, settings), (check_is_prior, check_prior_shape, *COMMON_CHECKS))


def check_is_prior(case: PriorCase) -> None:
    """It is a ``bus_toolkit.priors.FusionPrior``."""
    part = case.build()
    assert isinstance(part, FusionPrior), f"it is a {type(part).__name__}"


def check_prior_shape(case: PriorCase) -> None:
    """One finite number comes out for each visual token, 0 for those of the prefix."""
    (logits,) = case.run(case.build(), case.inputs())
    assert logits.shape == (tiny.BATCH, 9), f"the logits have shape {tuple(logits.shape)}, not {(tiny.BATCH, 9)}"
    assert torch.isfinite(logits).all(), "a logit is not finite: it would hide its token, or all others"
    assert logits[:, 0].eq(0).all(), "the prefix token has a prior"


def check_fewer_tokens(case: DecoderCase) -> None:
    """No more tokens come out than went in, the global one first, as wide as before."""
    out = case.decoded(case.build(), case.inputs())
    batch, length, width = out.embeds.shape
    assert (batch, width) == (tiny.BATCH, tiny.WIDTH), f"the tokens have shape {tuple(out.embeds.shape)}"
    assert length <= 9, f"9 tokens went in, {length} came out"
    assert 1 <= out.num_prefix <= length, f"num_prefix is {out.num_prefix}; the heads read a global token"
    assert out.grid == (4, 4), f"the grid of the image became {out.grid}"


def check_decodes_without_text(case: DecoderCase) -> None:
    """A pass without text works; only a decoder that says ``reads_text`` gives another result for another text."""
    part, inputs = case.build(), case.inputs()
    without = case.decoded(part, inputs, with_text=False).embeds
    assert torch.isfinite(without).all(), "tokens are not finite without a text"
    if not getattr(part, "reads_text", False):
        problem = differ(case.run(part, inputs), [without], 0.0)
        assert not problem, f"the text changes the result, but reads_text is not set: {problem}"


def check_fused_shapes(case: FusionCase) -> None:
    """The text keeps its length and width; visual tokens meet its width."""
    fused = case.fused(case.build(), case.inputs())
    wanted = (tiny.BATCH, tiny.LENGTH, tiny.WIDTH)
    assert fused.text.shape == wanted, f"the text has shape {tuple(fused.text.shape)}, not {wanted}"
    assert fused.cls.shape == (tiny.BATCH, tiny.WIDTH), f"the global token has shape {tuple(fused.cls.shape)}"
    assert fused.visual.shape[0] == tiny.BATCH and fused.visual.shape[2] == tiny.WIDTH, (
        f"the visual tokens have shape {tuple(fused.visual.shape)}"
    )


def check_padding_unread(case: FusionCase) -> None:
    """The values in padded positions of the text change nothing."""
    part, inputs = case.build(), case.inputs()
    noisy = dict(inputs, text=torch.where(inputs["mask"].unsqueeze(-1), inputs["text"], inputs["text"] + 50.0))
    problem = differ(case.run(part, noisy), case.run(part, inputs), 1e-4)
    assert not problem, f"other padding: {problem}"


def check_image_read(case: FusionCase) -> None:
    """Every visual token reaches the fused global token."""
    part, inputs = case.build(), case.inputs()
    visual = replace(visual_tokens(inputs), embeds=inputs["visual"].clone().requires_grad_())
    _fused(part, inputs, visual).cls.square().sum().backward()
    assert visual.embeds.grad is not None, "no visual token is read"
    unread = (visual.embeds.grad.abs().sum(dim=-1) == 0).any(dim=0).nonzero().flatten().tolist()
    assert not unread, f"visual tokens {unread} are not read"
