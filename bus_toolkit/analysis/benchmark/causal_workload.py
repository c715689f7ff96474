"""The same work of a vision-language model with a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.analysis.benchmark.workload import Passes, Scope
from bus_toolkit.analysis.macs import Method
from bus_toolkit.models.causal.dialogs import Turn
from bus_toolkit.models.causal.prompts import Prompts
from bus_toolkit.models.causal.sight import Sight
from bus_toolkit.models.causal.vlm import CausalVLM
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.structures import Selection


class CausalWorkload(Passes):
    """The work of a ``CausalVLM``.

    ``vision`` is backbone, decoder and projector under the texts of the batch. ``pair`` adds the language model on
    image and question, with all selectors: what comes before the first word of an answer. ``answer`` adds an answer of
    one word and its end, read as in training; written with a cache it costs as much. ``model`` is a training step with
    all tasks.

    Args:
        model: The model.
        scope: Which of the four.
        batch: As for ``Passes``, of one image a text.
        **settings: As for ``Passes``.
    """

    def __init__(self, model: CausalVLM, scope: Scope, batch: tuple[Tensor, Sequence[Any]], **settings: Any) -> None:
        super().__init__(model, scope, batch, **settings)
        self._questions = [[Turn(sample.text)] for sample in self.samples]
        self._answered = [[Turn(sample.text, sample.gt_answer[0])] for sample in self.samples]

    @property
    def parts(self) -> dict[str, list[Method]]:
        """The methods by which MACs are distinguished."""
        model, backbone = self.model, self.model.backbone
        selectors = [*backbone.selectors, *model.selectors]
        return {
            "backbone": [(backbone, "forward_shared"), (backbone, "forward_conditioned")],
            "selection": [(selector, "forward") for selector in selectors],
            "decoder": [(model.decoder, "forward"), (model.projector, "forward")],
            "language model": [(model.language_model.model, "forward")],
        }

    def selections(self) -> list[Selection]:
        """Return what the selectors decide on this batch in evaluation, those in the backbone first."""
        return [one for of_tower in self.selections_by_tower().values() for one in of_tower]

    def selections_by_tower(self) -> dict[str, list[Selection]]:
        """Return the same by the names of the settings of their selectors."""
        sight, inner = self._evaluated()
        return {"vision_selectors": list(sight.visual.selections), "selectors": inner}

    def tokens_by_stage(self) -> dict[str, int]:
        """Return how many visual tokens leave each stage in evaluation: blocks (with prefix), decoder, layers."""
        sight, inner = self._evaluated()
        visual = sight.visual
        first = visual.num_prefix + visual.grid[0] * visual.grid[1]
        outer = {one.block: one.decision.plan.num_slots + visual.num_prefix for one in visual.selections}
        later = {one.block: one.decision.plan.num_slots for one in inner}
        blocks, layers = self.model.backbone.num_blocks, len(self.model.language_model.decoder.layers)
        decoded = sight.tokens.shape[1]
        return {
            **_running("block", blocks, outer, first),
            "decoder": decoded,
            **_running("layer", layers, later, decoded),
        }

    def tokens_for_decoder(self) -> int:
        """Return how many visual tokens reach the decoder in evaluation, without prefix."""
        undecoded = self._evaluated()[0].visual.undecoded
        assert undecoded is not None, "a decoder has run"
        return undecoded.embeds.shape[1] - undecoded.num_prefix

    def pass_with(self, around_selection: Callable[[], AbstractContextManager[Any]]) -> None:
        """Run all towers in evaluation, with something opened around each selection in the language model."""
        stages = self.model.reader.selection.stages
        before, stages.around_selection = stages.around_selection, around_selection
        try:
            self._evaluated()
        finally:
            stages.around_selection = before

    def _evaluated(self) -> tuple[Sight, list[Selection]]:
        self.model.eval()
        with torch.no_grad(), self.autocast():
            sight, prompts = self._read(self._questions)
            self.model.reader.read(prompts, sight)
        return sight, self.model.reader.selection.selections()

    def _read(self, dialogs: Sequence[Sequence[Turn]]) -> tuple[Sight, Prompts]:
        rows = self.model.dialogs.rows(dialogs)
        sight = self.model.sight(self.model.look(self.images), rows)
        return sight, self.model.prompts(rows, sight)

    @override
    def _outputs(self) -> Tensor:
        if self.scope == "model":
            losses = self.model.loss(self.images, self.samples)
            return torch.stack([value for name, value in losses.items() if "loss" in name]).sum()
        sight, prompts = self._read(self._answered if self.scope == "answer" else self._questions)
        if self.scope == "vision":
            return at_least_float32(sight.tokens).sum()
        if self.scope == "answer":
            return at_least_float32(self.model.reader.logits(prompts, sight)).sum()
        return at_least_float32(self.model.reader.read(prompts, sight)).sum()


def _running(name: str, count: int, left: dict[int, int], tokens: int) -> dict[str, int]:
    """Return the tokens after each of some blocks, given what is left after those that select."""
    stages = {}
    for number in range(1, count + 1):
        tokens = left.get(number, tokens)
        stages[f"{name} {number}"] = tokens
    return stages
