"""Find the place in the data where a resumed training goes on, also with batches of another size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import IterableDataset

from bus_toolkit.data.leaves import leaves
from bus_toolkit.engine.batches import Batches
from bus_toolkit.engine.data_position import DataPosition, rows_a_batch
from bus_toolkit.engine.loader_checks import is_endless
from bus_toolkit.errors import CheckpointError


def go_on(runner: Runner, held: DataPosition | None, old: Batches | None, new: Batches) -> int:
    """Let the training loop go on at the place of the checkpoint; return how many rows come again.

    Rows are counted, not batches: after 12 batches of 8 a training goes on with the 97th row whatever its batches are.
    Where that is inside a batch of the present size, the rows of that batch that were used come again.

    Args:
        runner: Its loop has the epoch and the iteration of the checkpoint.
        held: The place in the checkpoint; ``None`` for one of an earlier version, whose iterations count.
        old: The sizes of the run before; ``None`` if the checkpoint does not say them.
        new: The sizes here.

    Raises:
        CheckpointError: The place is inside an epoch, and nobody knows where that is in batches of the present size, or
            the loop is of another kind than MMEngine's.
    """
    loop: Any = runner.train_loop
    rows = rows_a_batch(runner.train_dataloader)
    place, again = held or _counted(runner, old or new, rows), 0
    if old is not None and (old.batch_size, old.processes) != (new.batch_size, new.processes) and place.batches:
        if not rows or not place.rows:
            sampler = type(getattr(runner.train_dataloader.batch_sampler, "batches", None)).__name__
            raise CheckpointError(
                f"--resume: the checkpoint lies inside an epoch, after {place.batches} batches, and {sampler} does not "
                f"say which rows these are for batches of another size, got {old} before and {new} now. Resume with "
                "the sizes from before, or from a checkpoint at the end of an epoch."
            )
    if rows and place.rows and place.rows != rows:
        place, again = place.in_batches_of(rows)
    if isinstance(loop, EpochBasedTrainLoop):
        if old is not None and old.steps_per_epoch != new.steps_per_epoch:
            if place.batches > new.steps_per_epoch:  # of fewer data now: nothing of this epoch is left
                place, again = replace(place, batches=new.steps_per_epoch), 0
            loop._iter = loop.epoch * new.steps_per_epoch + place.batches
        if place.batches and not hasattr(loop, "position_at"):
            raise CheckpointError(
                f"--resume: the checkpoint lies inside an epoch, after {place.batches} batches, and train_cfg.type "
                f"{type(loop).__name__} begins each epoch with its first one. Use EpochBasedTrainLoop, or resume from "
                "a checkpoint at the end of an epoch."
            )
        loop.start = place
    elif hasattr(loop, "dataloader_iterator"):
        loop.dataloader_iterator.start = place
    return again


def position_of(runner: Runner, meta: Mapping[str, Any]) -> DataPosition:
    """Return the place in the data of a checkpoint that is about to be written.

    Args:
        runner: It trains.
        meta: Epochs and iterations of the checkpoint.
    """
    loop: Any = runner.train_loop
    counter: Any = loop if hasattr(loop, "position_at") else getattr(loop, "dataloader_iterator", None)
    rows = rows_a_batch(runner.train_dataloader)
    if hasattr(counter, "position_at"):
        return replace(counter.position_at(meta), rows=rows)
    return replace(_counted(runner, Batches.of(runner.train_dataloader, runner.optim_wrapper), rows), rows=rows)


def _counted(runner: Runner, old: Batches, rows: int) -> DataPosition:
    """Return the place by the iterations done, in batches of the run before."""
    loop: Any = runner.train_loop
    new = Batches.of(runner.train_dataloader, runner.optim_wrapper)
    rows = rows * old.batch_size * old.processes // (new.batch_size * new.processes)
    if isinstance(loop, EpochBasedTrainLoop):
        return DataPosition(loop.epoch, max(loop.iter - loop.epoch * old.steps_per_epoch, 0), rows)
    if is_endless(runner.train_dataloader):
        return DataPosition(0, loop.iter, rows)
    passes, batches = divmod(loop.iter, max(old.steps_per_epoch, 1))
    return DataPosition(passes, batches, rows)


def what_stays(runner: Runner, old: Batches, new: Batches, again: int) -> str:
    """Return what a resumed training with other batches does as it would have, and what not."""
    is_same = (old.batch_size, old.processes) == (new.batch_size, new.processes)
    if is_same and old.steps_per_epoch != new.steps_per_epoch:
        return (
            " The data have another length. Not exact: the order of rows; of an epoch that was begun some may come "
            "twice and others not at all."
        )
    if is_same and old.accumulation == new.accumulation:
        return ""
    if is_same:
        return " Exact: batches and their random numbers. Not exact: which of them share a step of the optimizer."
    data, text = runner.train_dataloader.dataset, "Exact: the order of rows and their random changes"
    by_process = any(hasattr(one, "shard_sizes") or isinstance(one, IterableDataset) for one in leaves(data))
    if by_process and old.processes != new.processes:
        text = (
            "Not exact: the order, since shards and streams are dealt to processes: of this pass some rows may come "
            "twice and others not at all"
        )
    if again:
        text += f"; {again} rows come again, for a batch of before ended inside one of now"
    return f" {text}. Not exact: what a step draws for itself, such as dropout, which follows its batch and process."
