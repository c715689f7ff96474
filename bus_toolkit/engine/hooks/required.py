"""Which hooks a training cannot do without, because its model depends on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import nn

from bus_toolkit.engine.hooks.model_state import ModelStateHook, unwrap
from bus_toolkit.engine.hooks.training_progress import FollowsProgress, TrainingProgressHook, scheduled_ratios
from bus_toolkit.errors import ConfigError, Problem


@runtime_checkable
class UpdatesAfterSteps(Protocol):
    """A model with state that no gradient trains: momentum copies, queues, a bounded temperature."""

    def after_step(self, stepped: bool = True) -> None:
        """Update that state."""


def check_required_hooks(runner: Runner) -> None:
    """Refuse to train a model without a hook that it depends on, or with a hook twice that can be there once.

    Raises:
        ConfigError: All that are missing (null removes them), each with what depends on it; two averages.
    """
    model = unwrap(runner.model)
    needed = [
        (FollowsProgress, TrainingProgressHook, "keep_ratio_schedule", ", ".join(_followers(model))),
        (UpdatesAfterSteps, ModelStateHook, "model_state", "momentum copies, queues and the temperature would rest"),
    ]
    problems = [
        Problem(
            f"default_hooks.{name}",
            f"a training of {type(model).__name__} needs its {kind.__name__}, got none: {why}. Remove the null, or "
            f"write {{type: {kind.__name__}}}.",
        )
        for protocol, kind, name, why in needed
        if isinstance(model, protocol) and not any(isinstance(hook, kind) for hook in runner.hooks)
    ]
    if sum(isinstance(hook, EMAHook) for hook in runner.hooks) > 1:
        text = "one EMAHook keeps the average, got several, which would exchange the weights of one another. Keep one."
        problems.append(Problem("custom_hooks", text))
    if problems:
        raise ConfigError(problems)


def _followers(model: nn.Module) -> Iterator[str]:
    heads = getattr(model, "heads", {})
    late = [name for name, head in heads.items() if getattr(head, "start_epoch", 0)]
    if late:
        yield f"{', '.join(late)} would not wait for start_epoch"
    if scheduled_ratios(model):
        yield "keep_ratio would not follow its schedule"
    yield "every step would draw the same random masks and negatives"
