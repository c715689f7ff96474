"""The slow, obvious version: the whole sequence in every layer, whose attention masks hide what was dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.huggingface import Reduction
from bus_toolkit.huggingface.families import decoder_of


def kept_by_stage(reduction: Reduction) -> dict[int, Tensor]:
    """Return which places each stage of the last prefill left, bool (B, W), by the block that it comes after."""
    prefill = reduction._language_model.prefill
    assert prefill is not None
    return {stage: prefill.kept_at(stage) for stage in prefill.after}


@contextmanager
def hiding(model: Any, kept: Mapping[int, Tensor]) -> Iterator[None]:
    """Hide places from the layers after each stage, and from nothing else.

    Args:
        model: A model that is not reduced.
        kept: Which places each stage leaves, bool (B, W).
    """

    def hook(layer: int) -> Any:
        def hide(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            passed = [stage for stage in kept if stage <= layer]
            if not passed:
                return None
            left = kept[max(passed)]
            width = left.shape[1]
            mask = kwargs.get("attention_mask")
            mask = torch.ones(1, 1, width, width, dtype=torch.bool).tril() if mask is None else mask
            shown = left[:, None, None] | torch.eye(width, dtype=torch.bool)  # (B, 1, W, W)
            if mask.dtype == torch.bool:
                return args, {**kwargs, "attention_mask": mask & shown}
            mask = mask.expand(len(left), -1, -1, -1).masked_fill(~shown, torch.finfo(mask.dtype).min)
            return args, {**kwargs, "attention_mask": mask}

        return hide

    handles = [
        layer.register_forward_pre_hook(hook(number), with_kwargs=True)
        for number, layer in enumerate(decoder_of(model).layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def nearest_left(kept: Tensor) -> Tensor:
    """Return for each place the nearest one at or before it that is left, or the first that is; int64 (B, W)."""
    rows = []
    for row in kept.tolist():
        first, nearest = row.index(True), []
        for place, is_left in enumerate(row):
            nearest.append(place if is_left else (nearest[-1] if nearest else first))
        rows.append(nearest)
    return torch.tensor(rows)
