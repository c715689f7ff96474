"""Where each rank of a run is, for the error of those that wait for it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.rank_watch import COMPUTING, at


class RankPlacesHook(Hook):
    """Note the place of this rank: which step it computes, or whether it waits for data, saves or evaluates.

    Every run by ``bus_toolkit`` has this hook.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """The first batch comes next."""
        at(f"waiting for the data of step {runner.iter + 1}")

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """A batch is there."""
        at(f"{COMPUTING} {runner.iter + 1}")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """The next batch comes next."""
        at(f"waiting for the data of step {runner.iter + 2}")

    def before_checkpoint(self, runner: Runner) -> None:
        """A checkpoint comes next."""
        at(f"saving after step {runner.iter}")

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """A batch is there."""
        at(f"evaluating batch {batch_idx + 1}")

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """A batch is there."""
        at(f"evaluating batch {batch_idx + 1}")

    def after_val(self, runner: Runner) -> None:
        """Training goes on."""
        at("between a validation and the next step")
