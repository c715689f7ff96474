"""What a checkpoint says about the run that wrote it, and the comparison with the run that loads it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from bus_toolkit.config import config_text
from bus_toolkit.engine.batches import Batches, wrappers_of
from bus_toolkit.engine.data_position import DataPosition
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.resumed_place import position_of
from bus_toolkit.engine.resumed_state import names_by_group, reorder, take_own_weights
from bus_toolkit.engine.saved_config import model_differences, saved_config_text
from bus_toolkit.engine.training_plan import check_same_parameters
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.run_state import read_section, write_section
from bus_toolkit.weights.words import words_of

_log = logging.getLogger(__name__)


class SavedRunHook(Hook):
    """Put config, words, sizes and names of trained parameters into each checkpoint; compare those of a loaded one.

    The Runner adds it to every run, so that no config can leave it out. Another model section is a warning: to evaluate
    at another keep ratio is as legitimate as it is easy to do by mistake. Weights that a training only starts from may
    be of another model.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.batches: Batches | None = None
        """The sizes of the run that wrote the loaded checkpoint; ``None`` if it does not say them."""
        self.position: DataPosition | None = None
        """The place in the data of the loaded checkpoint; ``None`` if it does not say it."""
        self.num_schedules = 0
        """Schedules in the loaded checkpoint."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the sections."""
        write_section(checkpoint, "config", config_text(runner.cfg))
        write_section(checkpoint, "batches", asdict(Batches.of(runner.train_dataloader, runner.optim_wrapper)))
        write_section(checkpoint, "position", asdict(position_of(runner, checkpoint["meta"])))
        words = words_of(getattr(unwrap(runner.model), "tokenizer", None))
        if words is not None:
            write_section(checkpoint, "vocabulary", words)
        model = unwrap(runner.model)
        write_section(
            checkpoint, "parameters", [names_by_group(one, model) for one in wrappers_of(runner.optim_wrapper)]
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare."""
        path = runner._load_from or "checkpoint"
        saved = saved_config_text(checkpoint)
        is_only_a_start = runner._train_loop is not None and not runner._resume
        differences = "" if saved is None or is_only_a_start else model_differences(saved, runner.cfg, path)
        if runner._resume:
            with _another_model_named(differences, path):
                self._note_optimizer(runner, checkpoint, str(path))
            if not any(isinstance(hook, EMAHook) for hook in runner.hooks):
                take_own_weights(checkpoint, str(path))
        if differences:
            _log.warning("%s: was trained with another model section: %s. The values here are used.", path, differences)

    def _note_optimizer(self, runner: Runner, checkpoint: dict[str, Any], path: str) -> None:
        """Note what a resumed training compares later; refuse the state of other parameters.

        Raises:
            CheckpointError: The optimizer has other parameters.
        """
        if isinstance(runner.optim_wrapper, OptimWrapper):
            self._fit_optimizers(runner, checkpoint, path)
        schedules = checkpoint.get("param_schedulers") or []
        lists = schedules.values() if isinstance(schedules, dict) else [schedules]
        self.num_schedules = sum(map(len, lists))
        sizes = read_section(checkpoint, "batches")
        self.batches = None if sizes is None else Batches(**sizes)
        self.position = DataPosition.of_section(read_section(checkpoint, "position"))

    @staticmethod
    def _fit_optimizers(runner: Runner, checkpoint: dict[str, Any], path: str) -> None:
        """Bring the states of the optimizers and schedules into the order of the parameters here."""
        model = unwrap(runner.model)
        saved = read_section(checkpoint, "parameters")
        # MMEngine keeps one optimizer by itself, several by name.
        is_one = not isinstance(runner.optim_wrapper, OptimWrapperDict)
        keys = ["optimizer"] if is_one else list(runner.optim_wrapper.keys())
        states = checkpoint if is_one else checkpoint["optimizer"]
        schedules: Any = checkpoint.get("param_schedulers") or []
        for number, (key, wrapper) in enumerate(zip(keys, wrappers_of(runner.optim_wrapper), strict=True)):
            check_same_parameters(wrapper, states.get(key, {}), path)
            own = names_by_group(wrapper, model)
            if saved is None or saved[number] == own:
                continue
            planned = schedules if is_one else schedules.get(key, [])
            states[key], planned[:] = reorder(states[key], planned, saved=saved[number], own=own, path=path)


@contextmanager
def _another_model_named(differences: str, path: object) -> Iterator[None]:
    """Say first that the model is another one: mostly that is why its optimizer does not fit.

    Raises:
        CheckpointError: With what differs, then with what was refused.
    """
    try:
        yield
    except CheckpointError as error:
        if not differences:
            raise
        first = (
            f"{path}: is of a training with another model section: {differences}. Resume with the config of that "
            "training, or give this one a work dir of its own."
        )
        raise CheckpointError([first, *error.problems]) from error
