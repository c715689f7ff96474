"""Selectors between the layers of a causal language model that reads visual tokens.

Shapes: B rows, W width, V visual tokens of a row, N patches of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.huggingface.layer_stages import LayerStages
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.prefill import Prefill, begin_stages, whole_sequence
from bus_toolkit.huggingface.recorded_attention import listen
from bus_toolkit.huggingface.visual_places import Grid, Unit, VisualPlaces
from bus_toolkit.models.causal.prompts import Prompts
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import Selection


class InnerSelection:
    """Let selectors act after layers of a language model, in its own calls and in ``generate``.

    Args:
        decoder: The language model without its head, which has ``layers``.
        selectors: Each names its layers in ``blocks``.

    Attributes:
        stages: The hooks on the layers.

    Raises:
        ConfigError: Something of a selector that a language model does not have.
    """

    def __init__(self, decoder: Any, selectors: Sequence[PatchSelector]) -> None:
        self._selectors = _by_block(selectors, len(decoder.layers))
        self.stages = LayerStages(decoder, self._selectors, nullcontext)
        self._begun: Prefill | None = None
        if self._selectors:
            _listen(decoder, self._selectors)
            decoder.register_forward_pre_hook(self._enter, with_kwargs=True)
            self.stages.install(min(self._selectors))

    def begin(self, prompts: Prompts, positions: Tensor, grid: Grid, copies: int = 1) -> None:
        """Say what the next call of the language model reads.

        Args:
            prompts: Its rows.
            positions: Their positions, int64 (B, W).
            grid: Rows and columns of their visual tokens.
            copies: How often a search repeats each row.
        """
        if not self._selectors:
            return
        ids, is_visual, places, mask = (
            repeat_rows(one, copies)
            for one in (prompts.ids, prompts.is_visual, prompts.words.places, prompts.words.mask)
        )
        words = type(prompts.words)(places, mask)
        question = torch.zeros_like(is_visual).scatter(1, places, True)
        count = len(ids)
        units = tuple(Unit(row, 0, (grid,)) for row in range(count))
        visual = VisualPlaces(is_visual, question, units, (grid[0] * grid[1],) * count)
        whole = Layout.whole(count, ids.shape[1], device=ids.device)
        self._begun = Prefill(ids, visual, words, whole, repeat_rows(positions, copies))

    def selections(self) -> list[Selection]:
        """Return what was decided in the last sequence, by the selectors in order, on all rows.

        Nothing where rows keep different numbers of tokens: they are decided on apart from each other then.
        """
        prefill = self.stages.prefill
        groups = () if prefill is None else prefill.groups()
        return [] if len(groups) != 1 else list(groups[0].selections)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.stages.enter(kwargs):
            return
        self.stages.prefill, self._begun = self._begun, None
        if self.stages.prefill is not None:
            begin_stages(self.stages.prefill, whole_sequence(kwargs["inputs_embeds"], self.stages.prefill.visual, None))


def _listen(decoder: Any, selectors: Mapping[int, PatchSelector]) -> None:
    for block, selector in selectors.items():
        if selector.reads_block:
            listen(decoder.layers[block - 1].self_attn, str(decoder.config._attn_implementation))


def _by_block(selectors: Sequence[PatchSelector], num_layers: int) -> dict[int, PatchSelector]:
    problems = [problem for index, one in enumerate(selectors) for problem in _problems(one, num_layers, index)]
    chosen: dict[int, PatchSelector] = {}
    for index, selector in enumerate(selectors):
        for block in selector.blocks:
            if block in chosen:
                text = f"block {block} already has a selector. A block holds one. Give one of them another block."
                problems.append(Problem(f"model.selectors.{index}.blocks", text))
            chosen[block] = selector
    if problems:
        raise ConfigError(problems)
    return dict(sorted(chosen.items()))


def _problems(selector: PatchSelector, num_layers: int, index: int) -> list[Problem]:
    path, name, problems = f"model.selectors.{index}", type(selector).__name__, []
    if max(selector.blocks) >= num_layers:
        text = (
            f"must be in 1 to {num_layers - 1}, since nothing is saved after the last of the {num_layers} layers of "
            f"the language model, got {selector.blocks}. Name an earlier block, or use model.vision_selectors."
        )
        problems.append(Problem(f"{path}.blocks", text))
    for needs, what in (
        (selector.needs_class_token, "a class token"),
        (selector.needs_boxes, "the boxes of the answer"),
    ):
        if needs:
            text = f"{name} reads {what}, which a language model does not have. Choose another selector."
            problems.append(Problem(path, text))
    return problems
