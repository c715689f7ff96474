"""The conformance kit for hooks: one is run in a short training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bus_toolkit.registry import HOOKS
from bus_toolkit.testing.check import run_checks
from bus_toolkit.testing.engine_parts import EngineFactory
from bus_toolkit.testing.model import tiny_batch, tiny_model

_STEPS = 2


class HookCase:
    """A hook and a training of two steps."""

    def __init__(self, part: str | Callable[..., Any], settings: dict[str, Any]) -> None:
        self.factory = EngineFactory(HOOKS, part, settings)
        self.name = self.factory.name

    def build(self) -> Any:
        """Return a new hook."""
        return self.factory.build()


def check_hook(part: str | Callable[..., Any], **settings: Any) -> None:
    """Check that a hook works in a training of MMEngine's Runner.

    Args:
        part: Its registered name (in ``bus_toolkit.registry.HOOKS``), or its class.
        **settings: Its arguments.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(HookCase(part, settings), (check_kind, check_training))


def check_kind(case: HookCase) -> None:
    """It is a hook of MMEngine's, with a priority that MMEngine knows."""
    hook = case.build()
    assert isinstance(hook, Hook), f"it is no mmengine Hook but a {type(hook).__name__}"


def check_training(case: HookCase) -> None:
    """A training of two steps goes to its end with it."""
    with tempfile.TemporaryDirectory() as folder:
        runner = short_training(case.build(), folder)
        runner.train()
    assert runner.iter == _STEPS, f"the training ended after {runner.iter} of {_STEPS} steps"


def short_training(hook: Hook, work_dir: str) -> Runner:
    """Return MMEngine's Runner, ready to train a tiny model for two steps with a hook."""
    images, samples = tiny_batch()
    loader: Any = DataLoader(samples, batch_size=len(samples), collate_fn=lambda batch: [images, batch])  # type: ignore[arg-type]
    runner = Runner(
        model=tiny_model({"itc": {"type": "ITCHead", "feature_dim": 16}}),
        work_dir=work_dir,
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": _STEPS},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.01}},
        default_scope="bus_toolkit",
        log_level="ERROR",
        experiment_name=f"check_{id(hook)}",
    )
    runner.register_hook(hook)
    MMLogger.get_current_instance().handlers.clear()
    return runner
