"""What a checkpoint says about the run that wrote it, and the comparison with the run that loads it."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from bus_toolkit.config import config_text
from bus_toolkit.engine.batches import Batches, wrappers_of
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.saved_config import model_differences, saved_config_text
from bus_toolkit.engine.training_plan import check_same_parameters
from bus_toolkit.weights.run_state import read_section, write_section
from bus_toolkit.weights.words import words_of

_log = logging.getLogger(__name__)


class SavedRunHook(Hook):
    """Put config, words and batch sizes into each checkpoint; compare the config of one that is loaded.

    The Runner adds it to every run, so that no config can leave it out. Another model section is a warning: to evaluate
    at another keep ratio is as legitimate as it is easy to do by mistake. Weights that a training only starts from may
    be of another model.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.batches: Batches | None = None
        """The sizes of the run that wrote the loaded checkpoint; ``None`` if it does not say them."""
        self.num_schedules = 0
        """Schedules in the loaded checkpoint."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the sections."""
        write_section(checkpoint, "config", config_text(runner.cfg))
        write_section(checkpoint, "batches", asdict(Batches.of(runner.train_dataloader, runner.optim_wrapper)))
        words = words_of(getattr(unwrap(runner.model), "tokenizer", None))
        if words is not None:
            write_section(checkpoint, "vocabulary", words)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare."""
        path = runner._load_from or "checkpoint"
        if runner._resume:
            self._note_optimizer(runner, checkpoint, str(path))
        saved = saved_config_text(checkpoint)
        is_only_a_start = runner._train_loop is not None and not runner._resume
        if saved is None or is_only_a_start:
            return
        differences = model_differences(saved, runner.cfg, path)
        if differences:
            _log.warning("%s: was trained with another model section: %s. The values here are used.", path, differences)

    def _note_optimizer(self, runner: Runner, checkpoint: dict[str, Any], path: str) -> None:
        """Note what a resumed training compares later; refuse the state of other parameters.

        Raises:
            CheckpointError: The optimizer has other parameters.
        """
        held = checkpoint.get("optimizer")
        if held is not None and isinstance(runner.optim_wrapper, OptimWrapper):
            by_name = isinstance(runner.optim_wrapper, OptimWrapperDict)
            names = list(runner.optim_wrapper.keys()) if by_name else []
            states = [held.get(name, {}) for name in names] if by_name else [held]
            for wrapper, state in zip(wrappers_of(runner.optim_wrapper), states, strict=True):
                check_same_parameters(wrapper, state, path)
        schedules = checkpoint.get("param_schedulers") or []
        lists = schedules.values() if isinstance(schedules, dict) else [schedules]
        self.num_schedules = sum(map(len, lists))
        sizes = read_section(checkpoint, "batches")
        self.batches = None if sizes is None else Batches(**sizes)
