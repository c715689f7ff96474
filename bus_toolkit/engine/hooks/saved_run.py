"""What a checkpoint says about the run that wrote it, and the comparison with the run that loads it."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.config import config_text
from bus_toolkit.engine.batches import Batches
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.run_state import write_section
from bus_toolkit.engine.saved_config import model_differences, saved_config_text
from bus_toolkit.engine.vocabulary import check_words, words_of

_log = logging.getLogger(__name__)


class SavedRunHook(Hook):
    """Put config, words and batch sizes into each checkpoint; compare config and words of one that is loaded.

    The Runner adds it to every run, so that no config can leave it out. Other words are refused. Another model section
    is a warning: to evaluate at another keep ratio is as legitimate as it is easy to do by mistake. Weights that a
    training only starts from may be of another model.
    """

    priority = "VERY_HIGH"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the sections."""
        write_section(checkpoint, "config", config_text(runner.cfg))
        write_section(checkpoint, "batches", asdict(Batches.of(runner.train_dataloader, runner.optim_wrapper)))
        words = words_of(getattr(unwrap(runner.model), "tokenizer", None))
        if words is not None:
            write_section(checkpoint, "vocabulary", words)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare.

        Raises:
            CheckpointError: The tokenizer has other words.
        """
        path = runner._load_from or "checkpoint"
        check_words(getattr(unwrap(runner.model), "tokenizer", None), checkpoint, path)
        saved = saved_config_text(checkpoint)
        is_only_a_start = runner._train_loop is not None and not runner._resume
        if saved is None or is_only_a_start:
            return
        differences = model_differences(saved, runner.cfg, path)
        if differences:
            _log.warning("%s: was trained with another model section: %s. The values here are used.", path, differences)
