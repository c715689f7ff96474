"""Selectors between the layers of a causal language model that reads visual tokens.

Shapes: B rows, W width, V visual tokens of a row, N patches of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.huggingface.checks import acts_before
from bus_toolkit.huggingface.layer_stages import LayerStages
from bus_toolkit.huggingface.prefill import Prefill, whole_sequence
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
        num_whole: How many layers read all visual tokens, counted from the first.

    Raises:
        ConfigError: Something of a selector that a language model does not have.
    """

    def __init__(self, decoder: Any, selectors: Sequence[PatchSelector]) -> None:
        self._selectors = _by_block(selectors, len(decoder.layers))
        self.num_whole = min(self._selectors, default=len(decoder.layers))
        self.stages = LayerStages(decoder, self._selectors, nullcontext)
        self._begun: Prefill | None = None
        if self._selectors:
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
        is_visual, readable, before_answer, places, mask = (
            repeat_rows(one, copies)
            for one in (
                prompts.is_visual,
                prompts.readable,
                prompts.before_answer,
                prompts.words.places,
                prompts.words.mask,
            )
        )
        words = type(prompts.words)(places, mask)
        question = torch.zeros_like(is_visual).scatter(1, places, True)
        units = tuple(Unit(row, 0, (grid,), has_text=True) for row in range(len(is_visual)))
        visual = VisualPlaces(is_visual, readable, before_answer, question, units)
        self._begun = Prefill.of(visual, words, repeat_rows(positions, copies))

    def selections(self) -> list[Selection]:
        """Return what was decided in the last sequence, by the selectors in order, on all rows.

        Nothing where rows keep different numbers of tokens: they are decided on apart from each other then.
        """
        prefill = self.stages.prefill
        groups = () if prefill is None else prefill.last.groups
        return [] if len(groups) != 1 else list(groups[0].selections)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.stages.enter(kwargs).call.num_new:
            return
        prefill, self._begun = self._begun, None
        self.stages.begin(prefill)
        if prefill is not None:
            prefill.enter(whole_sequence(kwargs["inputs_embeds"], prefill.visual, None))


def _by_block(selectors: Sequence[PatchSelector], num_layers: int) -> dict[int, PatchSelector]:
    problems = [problem for index, one in enumerate(selectors) for problem in _problems(one, num_layers, index)]
    chosen: dict[int, PatchSelector] = {}
    for index, selector in enumerate(selectors):
        for block in selector.blocks:
            stage = block - acts_before(selector)
            if stage in chosen:
                text = f"block {block} already has a selector. A block holds one. Give one of them another block."
                problems.append(Problem(f"model.selectors.{index}.blocks", text))
            chosen[stage] = selector
    if problems:
        raise ConfigError(problems)
    return dict(sorted(chosen.items()))


def _problems(selector: PatchSelector, num_layers: int, index: int) -> list[Problem]:
    path, name, problems = f"model.selectors.{index}", type(selector).__name__, []
    shift = int(acts_before(selector))
    if not 1 + shift <= min(selector.blocks) <= max(selector.blocks) < num_layers + shift:
        text = (
            f"must be in {1 + shift} to {num_layers - 1 + shift}, since nothing is saved after the last of the "
            f"{num_layers} layers of the language model, got {selector.blocks}. Name another block, or use "
            "model.vision_selectors."
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
