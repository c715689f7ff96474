"""A patch selector in the smallest surroundings in which it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.joint_pass import run_joint
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.structures import VisualTokens
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import Case, Inputs, PartFactory


class SelectorCase(Case):
    """A selector after block 2 of a transformer of 4, with 16 patches.

    ``heads`` are nodes of heads by name, one of which may train what no other loss reaches.
    """

    def __init__(
        self,
        part: str | Callable[..., nn.Module],
        settings: dict[str, Any],
        heads: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(
            PartFactory(REGISTRIES.selectors, part, settings, {"blocks": [2], "keep_ratio": 0.5}, tiny.WIDTHS)
        )
        self.heads = heads or {}

    @override
    def inputs(self) -> Inputs:
        # The share of each patch that boxes cover, for selectors that read it.
        cover = tiny.numbers(tiny.BATCH, (tiny.SIDE // tiny.PATCH) ** 2, seed=2).clamp(0.0, 1.0)
        return {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs(), "cover": cover}

    @override
    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        visual = self.visual(part, inputs)
        guides = [s.decision.guide.answers for s in visual.selections if s.decision.guide is not None]
        return [visual.embeds, *(s.decision.scores for s in visual.selections), *guides]

    def visual(self, part: nn.Module, inputs: Inputs, with_text: bool = True) -> VisualTokens:
        """Run the transformer around the selector."""
        vit = TokenReducingBackbone(tiny.vision_transformer_of(inputs["images"]), [part])  # type: ignore[list-item]
        reads = with_text and getattr(part, "needs_text", False)  # a backbone refuses a text that nothing reads
        return self._run(vit, inputs, reads, in_stream=getattr(part, "needs_word_stream", False))

    def plain(self, part: nn.Module, inputs: Inputs) -> VisualTokens:
        """Run the same transformer without any selector."""
        vit = TokenReducingBackbone(tiny.vision_transformer())
        return self._run(vit, inputs, False, in_stream=getattr(part, "needs_word_stream", False))

    def _run(self, vit: TokenReducingBackbone, inputs: Inputs, reads: bool, *, in_stream: bool) -> VisualTokens:
        text = replace(tiny.text_tokens(inputs), named_cover=inputs["cover"])
        if not in_stream:
            return vit(inputs["images"], text if reads else None)
        shared = vit.forward_shared(inputs["images"], 0)
        visual = VisualTokens(shared.tokens, vit.num_prefix, shared.grid)
        return run_joint(vit, visual, text).visual
