"""Resume a training under a config that may have changed: the progress of the checkpoint, the plan of the config."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from bus_toolkit.engine.batches import Batches
from bus_toolkit.engine.data_position import DataPosition
from bus_toolkit.engine.resumed_place import go_on, what_stays
from bus_toolkit.engine.training_plan import Position, TrainingPlan
from bus_toolkit.errors import CheckpointError

_log = logging.getLogger(__name__)
_MOST = 6  # changes that are shown
Optimizers = Sequence[tuple[OptimWrapper, Sequence[_ParamScheduler]]]


def optimizers_of(runner: Runner) -> Optimizers:
    """Return each optimizer wrapper of a training with its schedules."""
    schedules: Any = runner.param_schedulers or []
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        return [(wrapper, schedules[name] if schedules else []) for name, wrapper in runner.optim_wrapper.items()]
    return [(runner.optim_wrapper, schedules)]


def plans_of(runner: Runner) -> list[TrainingPlan]:
    """Return what the config plans, before a checkpoint is loaded."""
    return [TrainingPlan.of(wrapper, schedules) for wrapper, schedules in optimizers_of(runner)]


def follow_config(
    runner: Runner, plans: Sequence[TrainingPlan], old: Batches | None, held: DataPosition | None, num_schedules: int
) -> None:
    """Let a training that has just been resumed follow its config, and say what differs from the run before.

    Where nothing differs, nothing is touched. In an epoch-based loop the epochs done count: with another batch size the
    iterations are those that they would have taken.

    Args:
        runner: All of the checkpoint is loaded.
        plans: As :func:`plans_of` gives them.
        old: The sizes of the run before; ``None`` if the checkpoint does not say them.
        held: Its place in the data; ``None`` if the checkpoint does not say it.
        num_schedules: Schedules in the checkpoint.

    Raises:
        CheckpointError: It is past the end of the training, or of another optimizer; or as :func:`go_on`.
    """
    new = Batches.of(runner.train_dataloader, runner.optim_wrapper)
    before = runner.iter
    again = go_on(runner, held, old, new)
    is_moved = runner.iter != before
    if runner.iter > runner.max_iters or runner.epoch > runner.max_epochs:
        raise CheckpointError(
            f"--resume: the checkpoint is at step {runner.iter} (epoch {runner.epoch}), past the end of this training, "
            f"step {runner.max_iters} (epoch {runner.max_epochs}). Raise train_cfg, or start a new training from its "
            "weights with load_from."
        )
    if runner.iter == runner.max_iters:
        _log.warning(
            "--resume: nothing is left to train, got step %d of %d. Raise train_cfg.", runner.iter, runner.max_iters
        )
        return
    changes = _length_changes(runner, old, new)
    position = Position(runner.iter, _epochs(runner), new.steps_per_epoch)
    rates = [_top_rate(wrapper) for wrapper, _ in optimizers_of(runner)]
    is_replayed = False
    for plan, (wrapper, schedules) in zip(plans, optimizers_of(runner), strict=True):
        of_groups = plan.group_changes(wrapper, schedules)
        of_schedules = plan.schedule_changes(schedules)
        count = sum(len(own) for _, own in optimizers_of(runner))
        if count != num_schedules:
            of_schedules.append(f"{num_schedules} -> {count} schedules")
        changes += of_groups + of_schedules
        if of_groups:
            plan.put_settings(wrapper, schedules)
        if schedules and (of_groups or of_schedules or is_moved):
            plan.replay(wrapper, schedules, position)
            is_replayed = True
    if changes:
        stays = "" if old is None else what_stays(runner, old, new, again)
        _say(runner, changes, stays, rates if is_replayed else [])


def _length_changes(runner: Runner, old: Batches | None, new: Batches) -> list[str]:
    # The message hub still holds what the run before had noted.
    known = runner.message_hub.runtime_info
    lengths = {"max_epochs": runner.max_epochs, "max_iters": runner.max_iters}
    changes = [f"{key} {known[key]} -> {value}" for key, value in lengths.items() if known.get(key, value) != value]
    if old is not None and old.samples_per_update != new.samples_per_update:
        changes.append(f"{old} -> {new}")
    if old is not None and old.steps_per_epoch != new.steps_per_epoch:
        changes.append(f"{old.steps_per_epoch} -> {new.steps_per_epoch} steps an epoch")
    return changes


def _epochs(runner: Runner) -> int:
    """Return how often schedules by epoch were stepped: never in an iteration-based loop."""
    return runner.epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else 0


def _top_rate(wrapper: OptimWrapper) -> float:
    return max((float(group.get("lr", 0.0)) for group in wrapper.param_groups), default=0.0)


def _say(runner: Runner, changes: Sequence[str], stays: str, before: Sequence[float]) -> None:
    shown = "; ".join(changes[:_MOST]) + (f"; and {len(changes) - _MOST} more" if len(changes) > _MOST else "")
    rates = [_top_rate(wrapper) for wrapper, _ in optimizers_of(runner)]
    pairs = ", ".join(f"{new:.4g} ({old:.4g} in the checkpoint)" for old, new in zip(before, rates, strict=False))
    planned = f" The schedules are planned again: at step {runner.iter} of {runner.max_iters} the rate is {pairs}."
    _log.warning(
        "--resume: the config differs from that of the run before, and counts from here on: %s.%s%s",
        shown,
        stays,
        planned if before else "",
    )
