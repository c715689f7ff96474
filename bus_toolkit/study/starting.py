"""The checkpoint that an arm starts from: what of the model is not in it, and what of it the model does not have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.errors import CheckpointError
from bus_toolkit.models.build import build_model
from bus_toolkit.weights.load_rule import groups, is_below
from bus_toolkit.weights.reading import read_tensors

# Parts in which arms differ. Anything else that does not fit is refused when the weights are loaded.
_MAY_BE_FRESH = ("backbone.selectors", "selectors", "prior", "heads", "decoder")


def start_from(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``load_from`` for a run that starts from the last checkpoint of the job in ``folder``.

    Selectors, prior, heads and decoder may be others than those of the checkpoint, and start fresh then; what the
    config's own ``load_from`` lists may be, too.

    Args:
        folder: Of the job that has made the checkpoint.
        config: That of the run, whole.

    Raises:
        CheckpointError: There is no checkpoint.
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise CheckpointError(f"{folder}: the job to start from has no checkpoint. Run it first.")
    given = config.get("load_from")
    own = dict(given) if isinstance(given, Mapping) else {}
    fresh, unused = _differences(read_tensors(checkpoint).tensors, config["model"])
    parts = {"new_parts": [*own.get("new_parts", ()), *fresh], "unused_parts": [*own.get("unused_parts", ()), *unused]}
    return {**own, "checkpoint": str(checkpoint), **{key: list(dict.fromkeys(paths)) for key, paths in parts.items()}}


def _differences(saved: Mapping[str, torch.Tensor], model: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the shortest paths of the model that have no weights, and of the weights that have no place."""
    with torch.device("meta"):
        own = build_model(model).state_dict()
    fits = {name for name, tensor in own.items() if name in saved and saved[name].shape == tensor.shape}
    fresh = [name for name in own if name not in fits and _may_be_fresh(name)]
    unused = [name for name in saved if name not in own and _may_be_fresh(name)]
    rest = [name for name in own if name not in fresh]
    return list(groups(fresh, rest)), list(groups(unused, [name for name in saved if name not in unused]))


def _may_be_fresh(name: str) -> bool:
    return any(is_below(name, part) for part in _MAY_BE_FRESH)
