"""What a model costs, for its card: operations and tokens that are counted, parameters and bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bus_toolkit.analysis.benchmark.workload import Scope, Workload, made_up_batch
from bus_toolkit.analysis.macs import count_macs

_TEXTS = 2  # so that heads which compare rows have two


def costs_of(model: Any, weights: Path) -> dict[str, str]:
    """Return the costs of one text with its image by name, counted in passes of the model on noise and random words.

    How many words a model writes depends on what it sees, so what is counted of one that writes ends before that.

    Args:
        model: In eval mode.
        weights: Its file.
    """
    scope, what = _counted(model)
    load = Workload(model, scope, made_up_batch(model, _TEXTS, model.tokenizer.max_length))
    macs = count_macs(load.forward) // _TEXTS
    height, width = model.backbone.image_size
    rows, columns = model.backbone.grid
    tokens = ", ".join(f"{stage}: {count}" for stage, count in load.tokens_by_stage().items())
    return {
        f"multiply-accumulates of {what}": f"{macs / 1e6:,.1f} million",
        "visual tokens after each stage, prefix included": tokens,
        "image": f"{height} x {width} pixels, {rows} x {columns} patches",
        "longest text": f"{model.tokenizer.max_length} tokens",
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "file of weights": f"{weights.stat().st_size / 1e6:,.1f} MB",
    }


def _counted(model: Any) -> tuple[Scope, str]:
    """Return what is counted of a model, and its name."""
    if model.fusion is None:
        return "vision", "an image, backbone and decoder"
    if model.text_decoder is not None:
        return "pair", "a text with its image, up to their fusion"
    return "answer", "an answer"
