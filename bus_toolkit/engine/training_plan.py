"""What a config plans for an optimizer, kept apart from how far a checkpoint has come with it.

MMEngine resumes a schedule with everything that it held, its length and rates included, so that a config with more
epochs or another rate has no effect. Here a resumed training takes the progress from the checkpoint and the plan from
the config.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import ReduceOnPlateauParamScheduler, _ParamScheduler

from bus_toolkit.errors import CheckpointError

# Attributes of a schedule that say how far it is; all others are its plan.
_PROGRESS = {"last_step", "_global_step", "_last_value", "best", "num_bad_epochs", "cooldown_counter"}
# Settings of an optimizer that a version of torch may have added.
_FLAGS = {"amsgrad", "maximize", "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"}


class Position(NamedTuple):
    """How far a training is, in steps of the present config."""

    iterations: int
    epochs: int
    steps_per_epoch: int


@dataclass(frozen=True)
class TrainingPlan:
    """The settings of parameter groups and schedules before the first step.

    Attributes:
        groups: Settings of each group, that of MMEngine's base rate last.
        schedules: Attributes of each schedule.
    """

    groups: Sequence[Mapping[str, Any]]
    schedules: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, wrapper: OptimWrapper, schedules: Sequence[_ParamScheduler]) -> TrainingPlan:
        """Return the plan of an optimizer and its schedules that have just been built."""
        groups = [{key: value for key, value in group.items() if key != "params"} for group in wrapper.param_groups]
        return cls(copy.deepcopy(groups), [copy.deepcopy(schedule.state_dict()) for schedule in schedules])

    def group_changes(self, wrapper: OptimWrapper, schedules: Sequence[_ParamScheduler]) -> list[str]:
        """Return how this plan's settings of parameters differ from those that a checkpoint has brought.

        Raises:
            CheckpointError: The checkpoint is of another optimizer.
        """
        moving, changed = _scheduled(schedules), Counter[tuple[str, Any, Any]]()
        for group, planned in zip(wrapper.param_groups, self.groups, strict=True):
            missing = planned.keys() - group.keys() - _FLAGS - moving
            missing = {key for key in missing if not key.startswith("initial_")}
            if missing:
                raise CheckpointError(
                    f"--resume: the checkpoint was written with another optimizer, without {', '.join(sorted(missing))}"
                    ". Use that one, or start again from its weights with load_from."
                )
            for key in planned.keys() & group.keys() - moving:
                if planned[key] != group[key]:
                    changed[key.removeprefix("initial_"), _plain(group[key]), _plain(planned[key])] += 1
        return [
            f"{key} {old} -> {new} ({number} groups)" for (key, old, new), number in sorted(changed.items(), key=str)
        ]

    def schedule_changes(self, schedules: Sequence[_ParamScheduler]) -> list[str]:
        """Return how this plan's schedules differ from those that a checkpoint has brought."""
        changes = []
        for schedule, planned in zip(schedules, self.schedules, strict=True):
            held = schedule.state_dict()
            for key in dict.fromkeys([*planned, *held]):
                if key not in _PROGRESS | {"base_values", "verbose"} and planned.get(key) != held.get(key):
                    changes.append(f"{type(schedule).__name__}.{key} {held.get(key)} -> {planned.get(key)}")
        return changes

    def put_settings(self, wrapper: OptimWrapper, schedules: Sequence[_ParamScheduler]) -> None:
        """Give the groups this plan's settings, but for what a schedule moves."""
        moving = _scheduled(schedules)
        for group, planned in zip(wrapper.param_groups, self.groups, strict=True):
            group.update({key: value for key, value in planned.items() if key not in moving})

    def replay(self, wrapper: OptimWrapper, schedules: Sequence[_ParamScheduler], position: Position) -> None:
        """Bring the schedules, and what they move, to where they were if this plan had been followed from the start.

        A schedule computes a value from the one before it, so each step is made, for one group of each kind. One that
        follows a metric (``ReduceOnPlateau``) cannot be made again: it keeps its progress, and the values stay.
        """
        if any(isinstance(schedule, ReduceOnPlateauParamScheduler) for schedule in schedules):
            for schedule, planned in zip(schedules, self.schedules, strict=True):
                progress = {key: value for key, value in schedule.state_dict().items() if key in _PROGRESS}
                _set_state(schedule, {**planned, **progress}, wrapper)
            return
        kinds = list(dict.fromkeys(map(repr, self.groups)))
        first = [next(n for n, group in enumerate(self.groups) if repr(group) == kind) for kind in kinds]
        stepped = _Stepped([dict(self.groups[number]) for number in first], wrapper.defaults)
        for schedule, planned in zip(schedules, self.schedules, strict=True):
            _set_state(schedule, planned, stepped)
            schedule.base_values = [planned["base_values"][number] for number in first]
        _step(schedules, position)
        moving = _scheduled(schedules)
        for group, planned in zip(wrapper.param_groups, self.groups, strict=True):
            moved = stepped.param_groups[kinds.index(repr(planned))]
            group.update({key: value for key, value in moved.items() if key in moving})
        for schedule, planned in zip(schedules, self.schedules, strict=True):
            schedule.optimizer, schedule.base_values = wrapper, planned["base_values"]
            schedule._last_value = [group[schedule.param_name] for group in wrapper.param_groups]


def check_same_parameters(wrapper: OptimWrapper, saved: Mapping[str, Any], path: str) -> None:
    """Refuse an optimizer's state whose groups have other numbers of parameters than the optimizer has.

    Raises:
        CheckpointError: With both numbers.
    """
    own = [len(group["params"]) for group in wrapper.optimizer.param_groups]
    theirs = [len(group["params"]) for group in saved.get("param_groups", ())]
    if own != theirs:
        raise CheckpointError(
            f"{path}: its optimizer has {sum(theirs)} parameters in {len(theirs)} groups, got {sum(own)} in "
            f"{len(own)}: other parts are frozen, or the groups are made otherwise. A resumed run goes on as it was; "
            "start again from its weights with load_from."
        )


class _Stepped:
    """What a schedule needs of an optimizer, with few groups and no parameters."""

    def __init__(self, param_groups: list[dict[str, Any]], defaults: Mapping[str, Any]) -> None:
        self.param_groups, self.defaults = param_groups, defaults
        self._global_step = 0  # torch's and MMEngine's note that the optimizer has made a step

    def step(self) -> None:
        """Do nothing."""

    step._with_counter = True  # type: ignore[attr-defined]


def _step(schedules: Sequence[_ParamScheduler], position: Position) -> None:
    """Step the schedules as MMEngine's hook does: after each iteration, and after each epoch."""
    epochs = 0
    for iteration in range(1, position.iterations + 1):
        for schedule in schedules:
            if not schedule.by_epoch:
                schedule.step()
        if epochs < position.epochs and iteration % position.steps_per_epoch == 0:
            epochs += 1
            for schedule in schedules:
                if schedule.by_epoch:
                    schedule.step()


def _set_state(schedule: _ParamScheduler, state: Mapping[str, Any], optimizer: Any) -> None:
    schedule.__dict__.clear()
    schedule.__dict__.update(copy.deepcopy(dict(state)), optimizer=optimizer)


def _scheduled(schedules: Sequence[_ParamScheduler]) -> set[str]:
    """Return the settings of groups that schedules move; the momentum of Adam is the first of its betas."""
    names = {schedule.param_name for schedule in schedules}
    return names | ({"betas"} if "momentum" in names else set())


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
