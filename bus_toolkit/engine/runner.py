"""MMEngine's Runner as this toolkit runs it; what it does at each point is in the modules named here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import CheckpointLoader
from torch import nn

from bus_toolkit.config import dump_config
from bus_toolkit.engine.batches import wrappers_of
from bus_toolkit.engine.checked_runner import CheckedRunner
from bus_toolkit.engine.checkpoint import bring_home, has_checkpoint
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.saved_run import SavedRunHook
from bus_toolkit.engine.load_weights import load_weights
from bus_toolkit.engine.loader_faults import worker_faults
from bus_toolkit.engine.loader_workers import stop_workers
from bus_toolkit.engine.parallel.shard_model import shard_model
from bus_toolkit.engine.parallel.whole_state import gather_state
from bus_toolkit.engine.parameter_groups import describe_groups
from bus_toolkit.engine.recompute import own_checkpointing
from bus_toolkit.engine.refusals import full_disk_reported, unwritable_reported
from bus_toolkit.engine.resumable import check_resumable, misfits_refused
from bus_toolkit.engine.resuming import follow_config, plans_of
from bus_toolkit.engine.run_lock import RunLock
from bus_toolkit.engine.vocabulary import VOCABULARY_FILE, is_counted, write_words
from bus_toolkit.ops.shared_work import on_first_rank
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.load_rule import Purpose
from bus_toolkit.weights.settings import checkpoint_of
from bus_toolkit.weights.words import words_of

_log = logging.getLogger(__name__)
CONFIG_FILE = "config.yaml"


class BusRunner(CheckedRunner):
    """MMEngine's Runner with a quiet screen, a resolved config that loads again, and checkpoints that must fit."""

    run_lock: RunLock | None = None
    """The lock of a training on its work dir; held until the training has ended or this object is gone."""
    gathered: dict[str, Any] | None = None
    """While a checkpoint of a spread model is written: its tensors, whole."""

    def dump_config(self) -> None:
        """Write nothing while MMEngine builds: :func:`build_runner` calls ``write_config`` when the config is final."""

    def write_config(self) -> None:
        """Write the resolved config beside the log; of a training into the work dir too, unless a run is there.

        What lies in a work dir belongs to its ``last_checkpoint``, so an earlier run's stays until ``save_checkpoint``.
        All ranks call it, and the first one writes.
        """
        on_first_rank(self._write_config)

    def _write_config(self) -> None:
        dump_config(self.cfg, Path(self.log_dir) / CONFIG_FILE)
        if self._train_loop is not None and not has_checkpoint(self.work_dir):
            dump_config(self.cfg, Path(self.work_dir) / CONFIG_FILE)

    def save_checkpoint(
        self, out_dir: str, filename: str, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Let rank 0 save a checkpoint, and beside it the config and the words that it was trained with.

        Raises:
            TrainingError: It cannot be written; on every rank.
        """
        # A copy, since MMEngine's hook saves the best checkpoint and the last one with one and the same dict.
        save = partial(super().save_checkpoint, out_dir, filename, *args, meta=dict(meta or {}), **kwargs)
        path = f"{out_dir}/{filename}"
        with unwritable_reported(path):
            self.gathered = gather_state(self, Path(path), with_optimizer=kwargs.get("save_optimizer", True))
        try:
            on_first_rank(lambda: self._save(save, path))
        finally:
            self.gathered = None

    def _save(self, save: Callable[[], None], path: str) -> None:
        with unwritable_reported(path):
            save()
            self._save_config_and_words()

    def _save_config_and_words(self) -> None:
        dump_config(self.cfg, Path(self.work_dir) / CONFIG_FILE)
        words = words_of(getattr(unwrap(self.model), "tokenizer", None))
        if words is not None and is_counted((self.cfg.get("model") or {}).get("tokenizer")):
            write_words(words, Path(self.work_dir) / VOCABULARY_FILE)

    def train(self) -> nn.Module:
        """Train, with ``activation_checkpointing`` and ``compile`` as the config sets them."""
        self._take_seed()
        try:
            with own_checkpointing(), full_disk_reported(self.work_dir), worker_faults():
                model = super().train()
        except Exception:
            self._let_go()
            raise
        finally:
            stop_workers(self._train_loop)
            stop_workers(self._val_loop)
        self._let_go()
        return model

    def _let_go(self) -> None:
        """Let another training have the work dir; after a signal this one keeps it, to save once more."""
        if self.run_lock is not None:
            self.run_lock.release()

    def val(self) -> dict[str, float]:
        """Validate; a worker that fails is named."""
        with worker_faults():
            return super().val()

    def test(self) -> dict[str, float]:
        """Test; a worker that fails is named."""
        with worker_faults():
            return super().test()

    def _take_seed(self) -> None:
        """Take the seed of the checkpoint that a run goes on from, before samplers are built with it.

        MMEngine restores the seed when they are there already, so that rows came in another order than they would have.
        """
        start, asked = checkpoint_of(self._load_from), self._randomness_cfg.get("seed")
        if not self._resume or not start or "://" in start:
            return
        trusted = bool(self.cfg.get("trusted_checkpoints", False))
        seed = (load_checkpoint_file(start, "meta", trusted=trusted).get("meta") or {}).get("seed")
        if seed is None or seed == self.seed:
            return
        if asked is not None:
            _log.warning("--resume: the seed of the checkpoint counts, %s, not %s of the config.", seed, asked)
        self._randomness_cfg.update(seed=seed)
        self.set_randomness(**self._randomness_cfg)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume from a checkpoint: its weights, moments and progress; rates, schedules and lengths are the config's.

        It may lie in another folder than it was written into. What differs from the run before is reported.

        Raises:
            CheckpointError: It belongs to another model or another optimizer, or has not all that a run needs.
        """
        # Outside of train() MMEngine builds the optimizer only here: then there is no plan to be replaced.
        plans = plans_of(self) if isinstance(self.optim_wrapper, OptimWrapper) else None
        with misfits_refused(filename):
            super().resume(filename, *args, **kwargs)
            (saved_run,) = (hook for hook in self.hooks if isinstance(hook, SavedRunHook))
            if plans is not None:
                follow_config(self, plans, saved_run.batches, saved_run.position, saved_run.num_schedules)
        if all(getattr(hook, "out_dir", None) is None for hook in self.hooks if isinstance(hook, CheckpointHook)):
            bring_home(self.message_hub, self.work_dir)

    def load_or_resume(self) -> None:
        """Load what the config says; before a training show what the optimizer moves at which rates."""
        self._load_from: str | None = checkpoint_of(self._load_from)
        super().load_or_resume()
        shard_model(self)
        if isinstance(self.optim_wrapper, OptimWrapper):
            for wrapper in wrappers_of(self.optim_wrapper):
                _log.info("%s:\n%s", type(wrapper.optimizer).__name__, describe_groups(wrapper.optimizer.param_groups))

    def _init_model_weights(self) -> None:
        """Start the weights; a resumed run finds all of them in its checkpoint, and needs no file they started from."""
        if not self._resume:
            super()._init_model_weights()

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = "cpu",
        strict: bool = False,
        revise_keys: list[tuple[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Load weights; a resumed or tested model must find all of them, a fine-tuned one all but ``new_parts``.

        Position embeddings of another image size are interpolated, except when resuming: optimizer state is not.

        Raises:
            CheckpointError: The checkpoint belongs to another model.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location=map_location)
        if self._resume:
            check_resumable(checkpoint, filename)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        purpose: Purpose = "resume" if self._resume else "evaluate" if strict or self._train_loop is None else "start"
        load_weights(unwrap(self.model), checkpoint, filename, purpose, self.cfg.get("load_from"), revise_keys or ())
        self._has_loaded = True
        return checkpoint
