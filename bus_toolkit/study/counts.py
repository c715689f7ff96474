"""Counted costs of models, each counted once: the counts are kept beside the results of a study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from bus_toolkit.analysis.budget.plan import ratios_of, with_smallest_ratio
from bus_toolkit.analysis.meta_macs import Frame, MacCounter
from bus_toolkit.config.yaml_text import dump_yaml
from bus_toolkit.errors import DataError
from bus_toolkit.folder_locks import alone_in
from bus_toolkit.models.build import build_model
from bus_toolkit.study.stages import in_order
from bus_toolkit.writing import write_whole, writing

FILE = "counts.json"
_TOY = 20_000_000  # parameters; below, real passes are counted faster than passes on shapes


class Counts:
    """Costs of inference and of training steps, by the ``model`` part of a config.

    Inference is that of one text with one image: encoders, selectors, decoder, fusion and what the heads predict. The
    texts are as long as the tokenizer allows.

    Args:
        out: Folder in which counts are kept; they hold for the version of the code that made them. Remove
            ``counts.json`` after a change of code that changes costs.

    Raises:
        DataError: ``counts.json`` is damaged.
    """

    def __init__(self, out: Path) -> None:
        self._file = out / FILE
        self._known = self._read()

    def inference(self, model: Mapping[str, Any]) -> int:
        """Return the MACs of an answer: one text, one image."""
        return self._once("inference", model, lambda: self._counter(model, "forward", "answer").macs(model))

    def shared(self, model: Mapping[str, Any]) -> int:
        """Return the MACs of an answer that all texts of an image share."""

        def ask() -> int:
            # Of two texts an image, each has its own part and half of what they share.
            return 2 * (self.inference(model) - self._counter(model, "forward", "answer", 2).macs(model))

        return self._once("shared by texts", model, ask)

    def step(self, model: Mapping[str, Any], texts_per_image: int = 1) -> int:
        """Return the MACs of a training step, a text, of batches with so many texts an image."""
        kind = "step" if texts_per_image == 1 else f"step of {texts_per_image}"
        return self._once(kind, model, lambda: self._counter(model, "step", "model", texts_per_image).macs(model))

    def tokens(self, model: Mapping[str, Any]) -> dict[str, int]:
        """Return the visual tokens, prefix included, after each block and after the decoder."""

        def count() -> dict[str, int]:
            return self._counter(model, "forward", "answer").tokens_by_stage(model)

        return in_order(self._once("tokens", model, count))

    def frame(self, model: Mapping[str, Any]) -> Frame:
        """Return image size, grid and the longest text."""
        size, grid, length, _ = self._measures(model)
        return Frame(tuple(size), tuple(grid), length)

    def save(self) -> None:
        """Write what was counted, beside what another study has counted in the same folder meanwhile."""
        with writing(self._file, "--out"), alone_in(self._file.parent):
            there = self._read()
            if self._known.keys() - there.keys():
                write_whole(self._file, json.dumps({**there, **self._known}, indent=0, sort_keys=True) + "\n")

    def _read(self) -> dict[str, Any]:
        if not self._file.is_file():
            return {}
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{self._file}: is no JSON: {error}. Remove it; costs are counted again.") from error
        if not isinstance(known, dict):
            raise DataError(
                f"{self._file}: must be a mapping of counts, got a {type(known).__name__}. Remove it; costs are "
                "counted again."
            )
        return known

    def _measures(self, model: Mapping[str, Any]) -> list[Any]:
        # Ratios and decoder are in no measure; it may ask for more tokens than ratios leave that are not solved yet.
        measured = {**model, "decoder": {"type": "Identity"}}
        if ratios_of(model.get("selectors") or []):
            measured = with_smallest_ratio(measured, 1.0)

        def ask() -> list[Any]:
            with torch.device("meta"):
                built = build_model(measured)
            numbers = sum(parameter.numel() for parameter in built.parameters())
            return [list(built.backbone.image_size), list(built.backbone.grid), built.tokenizer.max_length, numbers]

        return self._once("frame", measured, ask)

    def _counter(self, model: Mapping[str, Any], work: Any, scope: Any, texts_per_image: int = 1) -> MacCounter:
        *_, length, parameters = self._measures(model)
        device: Any = "cpu" if parameters < _TOY else "meta"
        return MacCounter(work, length, scope=scope, texts_per_image=texts_per_image, device=device)

    def _once(self, kind: str, model: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
        key = f"{kind} {hashlib.sha256(dump_yaml(dict(model)).encode()).hexdigest()[:24]}"
        if key not in self._known:
            self._known[key] = ask()
        return self._known[key]


class InferenceCounter(MacCounter):
    """The counter of inference as a search for a budget takes it."""

    def __init__(self, counts: Counts, text_length: int) -> None:
        super().__init__("forward", text_length, scope="answer")
        self._counts = counts

    @override
    def macs(self, model: Mapping[str, Any]) -> int:
        return self._counts.inference(model)
