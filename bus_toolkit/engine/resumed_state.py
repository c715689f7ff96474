"""Give the state of a run before to the parts that it belongs to: moments by the names of parameters, not by places."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.optim import OptimWrapper
from torch import nn

from bus_toolkit.errors import CheckpointError

_log = logging.getLogger(__name__)
Names = Sequence[Sequence[str]]  # of the parameters of each group of an optimizer
_BY_GROUP = ("base_values", "_last_value")  # what a schedule of MMEngine holds for each group
_EMA = "ema_state_dict"


def names_by_group(wrapper: OptimWrapper, model: nn.Module) -> list[list[str]]:
    """Return the names of the parameters in each group of an optimizer."""
    names = {id(parameter): name.replace("_orig_mod.", "") for name, parameter in model.named_parameters()}
    return [[names.get(id(p), "") for p in group["params"]] for group in wrapper.optimizer.param_groups]


def reorder(
    state: Mapping[str, Any],
    schedules: Sequence[Mapping[str, Any]],
    *,
    saved: Names,
    own: Names,
    path: str,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an optimizer's state, and its schedules', in the order of the parameters here; torch goes by places alone.

    Args:
        state: What the optimizer of the checkpoint held, with as many groups and parameters as the one here.
        schedules: What its schedules held.
        saved: The names of its parameters.
        own: Those of the optimizer here.
        path: The checkpoint, for messages.

    Raises:
        CheckpointError: Other parameters of the model are trained.
    """
    before, here = [n for group in saved for n in group], [n for group in own for n in group]
    lost, new = [n for n in before if n not in set(here)], [n for n in here if n not in set(before)]
    if lost or new:
        raise CheckpointError(
            f"{path}: its optimizer moves other parameters, {', '.join(lost[:3])}, got {', '.join(new[:3])} "
            f"({len(new)} in all): other parts are frozen, or transformers is of another version. A resumed run goes "
            "on as it was; start again from its weights with load_from."
        )
    places = {
        name: (group, key)
        for group, (names, held) in enumerate(zip(saved, state["param_groups"], strict=True))
        for name, key in zip(names, held["params"], strict=True)
    }
    groups: list[dict[str, Any]] = []
    moments, order, count = {}, [], 0
    for names in own:
        held_at = [places[name] for name in names]
        order.append(held_at[0][0])
        groups.append({**state["param_groups"][order[-1]], "params": list(range(count, count + len(names)))})
        for key, (_, old) in enumerate(held_at, start=count):
            if old in state["state"]:
                moments[key] = state["state"][old]
        count += len(names)
    return {**state, "state": moments, "param_groups": groups}, [_reordered(one, order) for one in schedules]


def _reordered(schedule: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """Return a schedule's state with its groups in another order; MMEngine's base rate comes after them."""
    lists = {key: schedule[key] for key in _BY_GROUP if key in schedule}
    return {**schedule, **{key: [*(held[i] for i in order), *held[len(order) :]] for key, held in lists.items()}}


def take_own_weights(checkpoint: dict[str, Any], path: str) -> None:
    """Let a training without average go on from its own weights; MMEngine saves them in the place of the average."""
    average = checkpoint.pop(_EMA, None)
    if average is None:
        return
    weights = checkpoint["state_dict"]
    for name, tensor in average.items():
        own = name.removeprefix("module.")
        if own != name and own in weights:
            weights[own] = tensor
    _log.warning(
        "--resume: %s has an average of the weights, and this config no EMAHook: the training goes on from its own "
        "weights, without the average. To start from the average, give the file to load_from.",
        path,
    )
