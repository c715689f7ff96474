"""MMEngine's training loops, which go on where a resumed run was: at the next batch, not at the start of an epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from bus_toolkit.engine.data_position import DataPosition, batches_from
from bus_toolkit.engine.hooks.optimizer_steps import first_batch
from bus_toolkit.registry import LOOPS

_log = logging.getLogger(__name__)
START = DataPosition(0, 0)


class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's loop over epochs; the first epoch of a resumed run begins at its next batch.

    Attributes:
        start: Where the data begin.
    """

    def __init__(self, runner: Any, dataloader: Any, **settings: Any) -> None:
        super().__init__(runner, dataloader, **settings)
        self.start = START
        self._began, self._is_warned = 0, False

    def run_epoch(self) -> None:
        """Go through an epoch, or what is left of it."""
        first = first_batch(self)
        self._began = self.iter - first
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        place, number = DataPosition(self.epoch, first), first - 1
        for number, batch in enumerate(batches_from(self.dataloader, place, int(self.runner.seed)), start=first):
            self.run_iter(number, batch)
        self._compare_length(number + 1)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self._began = self.iter

    def _compare_length(self, batches: int) -> None:
        """Warn once of data that give another number of batches than they say: all that is planned goes by that."""
        said = len(self.dataloader)
        if batches != said and not self._is_warned:
            self._is_warned = True
            _log.warning(
                "train_dataloader: epoch %d had %d batches, and its length says %d, by which schedules and the end of "
                "the training are planned. Correct __len__ of the data set.",
                self.epoch + 1,
                batches,
                said,
            )

    def position_at(self, meta: Mapping[str, Any]) -> DataPosition:
        """Return the place of a checkpoint by its epoch and iteration; what workers have prefetched does not count."""
        is_in_epoch = meta["epoch"] == self.epoch
        return DataPosition(meta["epoch"], meta["iter"] - self._began if is_in_epoch else 0)


class PassedBatches(Iterator[Any]):
    """The batches of a loader, pass after pass, for a loop that asks for them one by one.

    It takes the place of MMEngine's iterator, which finds its place only in some samplers, loads what it passes over
    elsewhere, and waits for two seconds between passes.

    Args:
        loader: The loader of a training.
        runner: Its seed is that of the run.

    Attributes:
        start: Where a resumed run goes on.
    """

    def __init__(self, loader: DataLoader, runner: Any) -> None:
        self.start = START
        self._loader, self._runner = loader, runner
        self._iterator: Iterator[Any] | None = None
        self._passes = self._batches = self._iteration = 0

    def skip_iter(self, iteration: int) -> None:
        """Go on from ``start``; the loop calls it at its iteration, unless it is to begin with the data again."""
        self._begin(self.start)
        self._iteration = iteration

    def __next__(self) -> Any:
        """Return the next batch; after the last one, the first of another pass."""
        if self._iterator is None:
            self._begin(START)
            self._iteration = self._runner.iter
        assert self._iterator is not None
        try:
            batch = next(self._iterator)
        except StopIteration:
            self._begin(DataPosition(self._passes + 1, 0))
            batch = next(self._iterator)
        self._batches += 1
        self._iteration += 1
        return batch

    def position_at(self, meta: Mapping[str, Any]) -> DataPosition:
        """Return the place of a checkpoint by its iteration; what workers have prefetched does not count."""
        return DataPosition(self._passes, self._batches - (self._iteration - meta["iter"]))

    def _begin(self, place: DataPosition) -> None:
        self._iterator = batches_from(self._loader, place, int(self._runner.seed))
        self._passes, self._batches = place.passes, place.batches


def own_loop(node: Any) -> Any:
    """Return the node of a training loop with this toolkit's loop over epochs in the place of MMEngine's."""
    if not isinstance(node, Mapping):
        return node
    by_epoch = node.get("by_epoch") is True
    if not by_epoch and ("type" not in node or LOOPS.get(node["type"]) is not EpochBasedTrainLoop):
        return node
    return {
        "type": ResumableEpochLoop,
        **{key: value for key, value in node.items() if key not in ("type", "by_epoch")},
    }


def with_own_batches(loop: Any, runner: Any) -> Any:
    """Let a loop over iterations read its batches by way of :class:`PassedBatches`; return the loop."""
    if isinstance(loop, IterBasedTrainLoop):
        loop.dataloader_iterator = PassedBatches(loop.dataloader, runner)
    return loop
