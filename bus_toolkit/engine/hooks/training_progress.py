"""Report to the model how far its training is, and keep that in checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.errors import DataError
from bus_toolkit.registry import HOOKS
from bus_toolkit.weights.run_state import read_section, write_section

_log = logging.getLogger(__name__)


@runtime_checkable
class FollowsProgress(Protocol):
    """A model that changes with the progress of its training: late heads, scheduled keep ratios, noise."""

    def set_progress(self, epoch: float, iteration: int) -> None:
        """Set how far the training is."""


@HOOKS.register_module(name=["TrainingProgressHook", "KeepRatioScheduleHook"])
class TrainingProgressHook(Hook):
    """Set the epoch and the iteration of the model; goes into ``default_hooks``.

    It alone does. ``model.set_progress(epoch, iteration)`` is called before each step and before each validation; late
    heads (``start_epoch``), scheduled keep ratios and fresh noise follow it. If the model has no such method, as in
    mmpretrain, ``set_progress`` of each ``bus_toolkit.TokenReducedViT`` is called (there the hook goes into
    ``custom_hooks``). The epoch is a float, iterations done / iterations per epoch; in an iteration-based loop an epoch
    is one pass through the data set, too.

    The progress is kept in checkpoints. An evaluation of one sets it, so that the same weights get the same keep
    ratios as in the validation of the training. Scheduled keep ratios are logged as ``train/keep_ratio``, and with the
    index of their selector where there are several.

    ``KeepRatioScheduleHook`` is an earlier name of it.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self._trains = False
        self._loaded: tuple[float, int] | None = None
        self._validated = -1

    def before_train(self, runner: Runner) -> None:
        """Set the progress once before the first batch, also after a resume."""
        self._trains = True
        self._set_own(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Sequence[Any] | None = None) -> None:
        """Set the progress before every step."""
        self._set_own(runner)
        for name, ratio in scheduled_ratios(unwrap(runner.model)).items():
            runner.message_hub.update_scalar(f"train/{name}", ratio)

    def before_val(self, runner: Runner) -> None:
        """Set the progress of the training, or that of the loaded checkpoint."""
        if self._trains:
            self._set_own(runner)
        elif self._loaded is not None:
            set_progress(unwrap(runner.model), *self._loaded)
        ratios = scheduled_ratios(unwrap(runner.model))
        if ratios:
            _log.info("Evaluating with %s.", ", ".join(f"{name} {ratio:.4g}" for name, ratio in ratios.items()))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Note that this point is validated: a validation may be stopped before its end."""
        if self._trains:
            self._validated = runner.iter

    def before_test(self, runner: Runner) -> None:
        """Do as before a validation."""
        self.before_val(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the progress, and whether the metrics of its validation are in the state of the hooks already."""
        if read_section(checkpoint, "progress") is not None:  # a config may name the hook twice
            return
        iteration = int(checkpoint["meta"]["iter"])
        progress = {"epoch": _epoch(runner, iteration), "iteration": iteration}
        write_section(checkpoint, "progress", {**progress, "validated": iteration == self._validated})

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the progress of the weights, for an evaluation; a training has its own."""
        self._loaded = loaded_progress(checkpoint)

    def _set_own(self, runner: Runner) -> None:
        set_progress(unwrap(runner.model), _epoch(runner, runner.iter), runner.iter)


KeepRatioScheduleHook = TrainingProgressHook  # the name of the class before it did more than that


def set_progress(model: nn.Module, epoch: float, iteration: int) -> None:
    """Set the progress of a model, or of the token-reducing backbones in one that does not follow it itself."""
    if isinstance(model, FollowsProgress):
        model.set_progress(epoch, iteration)
        return
    for part in model.modules():
        if isinstance(part, TokenReducingBackbone):
            part.set_progress(epoch)


def loaded_progress(checkpoint: Mapping[str, Any]) -> tuple[float, int] | None:
    """Return the epoch and the iteration of a loaded checkpoint; ``None`` if it does not say them."""
    progress = read_section(checkpoint, "progress")
    return None if progress is None else (float(progress["epoch"]), int(progress["iteration"]))


def scheduled_ratios(model: nn.Module) -> dict[str, float]:
    """Return the keep ratios that change over a training, by the names under which they are logged."""
    ratios = list(_scheduled(model))
    if len(ratios) == 1:
        return {"keep_ratio": ratios[0][1]}
    return {f"keep_ratio_{index}": ratio for index, ratio in ratios}


def _scheduled(model: nn.Module) -> Iterator[tuple[int, float]]:
    # The first backbone is the trained one; copies of it, as in a momentum branch, have the same ratios.
    backbone = next((part for part in model.modules() if isinstance(part, TokenReducingBackbone)), None)
    inner = getattr(model, "selectors", ())  # those in the language model of a CausalVLM
    for index, selector in enumerate([*(() if backbone is None else backbone.selectors), *inner]):
        if selector.schedule.epochs > 0:
            yield index, selector.keep_ratio


def _epoch(runner: Runner, iteration: int) -> float:
    return iteration / iterations_per_epoch(runner.train_dataloader)


def iterations_per_epoch(loader: DataLoader) -> float:
    """Return how many batches make one pass through the data; a fraction for an endless sampler with large batches.

    Raises:
        DataError: The data set does not know its length.
    """
    try:
        batches = len(loader)
        if batches:
            return batches
        size: int = getattr(loader.batch_sampler, "batch_size", None) or loader.batch_size or 1
        return len(loader.dataset) / size  # type: ignore[arg-type]
    except TypeError as error:
        raise DataError(
            f"train_dataloader.dataset: must have a length, by which the epochs of schedules are counted, got a "
            f"{type(loader.dataset).__name__} without __len__. Give the class one."
        ) from error
