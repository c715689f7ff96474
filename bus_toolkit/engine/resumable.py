"""Whether a run can go on from what a checkpoint holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.finite import refuse_nan
from bus_toolkit.weights.run_state import VERSION, version_of

_HUB = ("log_scalars", "runtime_info", "resumed_keys")  # what MMEngine's message hub asserts


def check_resumable(checkpoint: Mapping[str, Any], path: object) -> None:
    """Refuse a checkpoint that has only a part of a run, or weights that are NaN.

    MMEngine takes for granted that all is there, and starts an optimizer without state silently from the beginning.

    Raises:
        CheckpointError: What is missing, all of it at once.
    """
    problems = list(_missing(checkpoint))
    if problems:
        raise CheckpointError(
            f"{path}: no run can go on from it: {'; '.join(problems)}. Give --resume a checkpoint that a training of "
            "this toolkit has written with its optimizer (save_optimizer: true); best_*.pth have none. To start a new "
            f"training from its weights: --cfg-options load_from={path}"
        )
    refuse_nan(path, checkpoint["state_dict"])


@contextlib.contextmanager
def misfits_refused(path: object) -> Iterator[None]:
    """Report what a library raises when the state in a checkpoint is not what its parts expect.

    Such is the state of another optimizer, of which every kind is different.

    Raises:
        CheckpointError: In place of that.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its state does not fit this training ({type(error).__name__}: {str(error)[:200]}). Resume with "
            f"the config of the run that wrote it, or start a new training from its weights: --cfg-options "
            f"load_from={path}"
        ) from error


def _missing(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(checkpoint.get("state_dict"), Mapping):
        yield "it has no state_dict with the weights"
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping):
        yield "it has no meta, which says how far the training was"
    else:
        for key in ("epoch", "iter"):
            if type(meta.get(key)) is not int or meta[key] < 0:
                yield f"its meta.{key} must be a whole number from 0, got {meta.get(key)!r:.40}"
    version = version_of(checkpoint)
    if type(version) is not int or version > VERSION:
        yield f"it is of version {version!r:.40} of a newer bus_toolkit, which this one ({VERSION}) does not know"
    hub = checkpoint.get("message_hub")
    if not isinstance(hub, Mapping) or not all(isinstance(hub.get(key), Mapping) for key in _HUB):
        yield "it has no message_hub with the logged values"
    if not _is_optimizer(checkpoint.get("optimizer")):
        yield "it has no optimizer with its moments"
    if not isinstance(checkpoint.get("param_schedulers", []), list | dict):
        yield f"its param_schedulers must be a list, got {type(checkpoint['param_schedulers']).__name__}"


def _is_optimizer(state: Any) -> bool:
    """Return whether it is the state of an optimizer, or of several by name."""
    if not isinstance(state, Mapping) or not state:
        return False
    if "param_groups" not in state:
        return all(isinstance(one, Mapping) and "param_groups" in one and _is_optimizer(one) for one in state.values())
    groups = state["param_groups"]
    are_groups = isinstance(groups, list) and all(
        isinstance(g, Mapping) and isinstance(g.get("params"), list) for g in groups
    )
    return are_groups and isinstance(state.get("state"), Mapping)
