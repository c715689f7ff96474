"""MMEngine's Runner as this toolkit runs it; what it does at each point is in the modules named here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, CheckpointLoader, Runner
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.config import dump_config
from bus_toolkit.data.text_survey import TextLimits
from bus_toolkit.engine.batches import Batches, scale_rates, wrappers_of
from bus_toolkit.engine.checkpoint import bring_home, has_checkpoint
from bus_toolkit.engine.compile_parts import compile_parts
from bus_toolkit.engine.evaluator_checks import check_metrics
from bus_toolkit.engine.held_out import check_held_out
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.rank_places import RankPlacesHook
from bus_toolkit.engine.hooks.run_state import RunStateHook
from bus_toolkit.engine.hooks.saved_run import SavedRunHook
from bus_toolkit.engine.hooks.step_seed import StepSeedHook
from bus_toolkit.engine.hooks.wanted_fields import WantedFieldsHook
from bus_toolkit.engine.launch import timeout_of
from bus_toolkit.engine.load_weights import load_weights
from bus_toolkit.engine.loader_checks import check_end, check_loader, goes_by_iterations
from bus_toolkit.engine.loader_faults import limit_waiting, worker_faults
from bus_toolkit.engine.loader_workers import own_workers, stop_workers
from bus_toolkit.engine.parameter_groups import describe_groups, own_constructor, shared_weights_refused
from bus_toolkit.engine.quiet import split_screen_and_file
from bus_toolkit.engine.rank_watch import start_watch
from bus_toolkit.engine.recompute import own_checkpointing
from bus_toolkit.engine.refusals import data_errors_at, full_disk_reported, refusals_at, unwritable_reported
from bus_toolkit.engine.resumable import check_resumable, misfits_refused
from bus_toolkit.engine.resuming import follow_config, plans_of
from bus_toolkit.engine.run_lock import RunLock
from bus_toolkit.engine.schedule_checks import warn_of_climbing
from bus_toolkit.engine.seeded_loader import seeded_loader
from bus_toolkit.engine.step_guard import guard_steps
from bus_toolkit.engine.text_checks import check_texts
from bus_toolkit.engine.together import on_first_rank
from bus_toolkit.engine.train_loops import own_loop, with_own_batches
from bus_toolkit.engine.vocabulary import VOCABULARY_FILE, is_counted, write_words
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.load_rule import Purpose
from bus_toolkit.weights.settings import checkpoint_of
from bus_toolkit.weights.words import words_of

_log = logging.getLogger(__name__)
CONFIG_FILE = "config.yaml"


class BusRunner(Runner):
    """MMEngine's Runner with a quiet screen, a resolved config that loads again, and checkpoints that must fit."""

    _timestamps: ClassVar[set[str]] = set()
    run_lock: RunLock | None = None
    """The lock of a training on its work dir; held until the training has ended or this object is gone."""

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Prepare the processes; give the run a time stamp of its own.

        MMEngine finds logger and log history by that stamp, in seconds: two runs of one process would share them.
        """
        super().setup_env(env_cfg)
        start_watch(timeout_of(self.cfg))
        stamp = first = str(self.timestamp)
        number = 0
        while stamp in self._timestamps:
            number += 1
            stamp = f"{first}_{number}"
        self._timestamps.add(stamp)
        self._timestamp = stamp

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger; leave only what matters on the screen."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        split_screen_and_file(logger, everything=log_level in ("DEBUG", logging.DEBUG))
        return logger

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
        on_first_rank(lambda: self._save(save, f"{out_dir}/{filename}"))

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

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        """Register the hooks of the config, and those that no run goes without."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(StepSeedHook())
        self.register_hook(RankPlacesHook())
        self.register_hook(SavedRunHook())
        self.register_hook(RunStateHook())
        self.register_hook(WantedFieldsHook())

    def build_dataloader(self, dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        """Build a data loader with random numbers of its own, and refuse one that would train on nothing.

        Raises:
            DataError: It has no batch, or its data cannot be read; the message starts with its YAML path.
        """
        keys = ("train_dataloader", "val_dataloader", "test_dataloader")
        path = next((key for key in keys if getattr(self, f"_{key}", None) is dataloader), "dataloader")
        with refusals_at(path), data_errors_at(path):
            loader = super().build_dataloader(dataloader, seed=seed, diff_rank_seed=diff_rank_seed)
        model, is_training = unwrap(self.model), path == "train_dataloader"
        check_loader(loader, path, model)
        check_texts(loader.dataset, path, model, TextLimits.of(self.cfg), training=is_training)
        if not is_training and isinstance(self._train_loop, BaseLoop):
            check_held_out(self._train_loop.dataloader.dataset, loader.dataset, path)
        if loader is dataloader:
            return loader
        if not (is_training and goes_by_iterations(self._train_loop)):
            check_end(loader, path)
        loader = seeded_loader(loader, lambda: int(self.seed))
        own_workers(loader)
        limit_waiting(loader)
        return loader

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Build the training loop, one that can go on inside an epoch."""
        return with_own_batches(super().build_train_loop(own_loop(loop)), self)

    def build_val_loop(self, loop: Any) -> BaseLoop:
        """Build the validation loop.

        Raises:
            ConfigError: One of its metrics reads what no head predicts.
        """
        built = super().build_val_loop(loop)
        check_metrics(built, unwrap(self.model), "val_evaluator")
        return built

    def build_test_loop(self, loop: Any) -> BaseLoop:
        """Build the test loop.

        Raises:
            ConfigError: As for a validation.
        """
        built = super().build_test_loop(loop)
        check_metrics(built, unwrap(self.model), "test_evaluator")
        return built

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build MMEngine's optimizer wrapper; the rules for rates and decay of parameters multiply.

        Raises:
            ConfigError: Such weights, and parameter-wise settings that list them twice.
        """
        own = own_constructor(optim_wrapper.get("constructor")) if isinstance(optim_wrapper, Mapping) else None
        node = optim_wrapper if own is None else {**optim_wrapper, "constructor": own}
        with refusals_at("optim_wrapper"), shared_weights_refused(self.model, optim_wrapper):
            built = super().build_optim_wrapper(node)
        guard_steps(built)
        return built

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """Build MMEngine's schedules; a cosine that rises again before the training ends is warned of.

        Raises:
            ConfigError: One refuses its values.
        """
        with refusals_at("param_scheduler"):
            schedules = super().build_param_scheduler(scheduler)
        if isinstance(schedules, list) and isinstance(self._train_loop, BaseLoop):
            lengths = (getattr(self._train_loop, name, 0) for name in ("max_epochs", "max_iters"))
            warn_of_climbing(schedules, *lengths)
        return schedules

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        """Register a hook.

        Raises:
            ConfigError: It refuses its values.
        """
        with refusals_at(_hook_path(self.cfg, hook)):
            super().register_hook(hook, priority)

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict[str, Any] | None = None) -> None:
        """Scale the rates by the samples of an optimizer step over the base batch size, if ``auto_scale_lr`` says so.

        MMEngine counts the batch of one backward pass; with accumulation a step takes several.
        """
        if auto_scale_lr and auto_scale_lr.get("enable"):
            scale_rates(
                optim_wrapper, Batches.of(self.train_dataloader, optim_wrapper), auto_scale_lr["base_batch_size"]
            )

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
        if isinstance(self.optim_wrapper, OptimWrapper):
            for wrapper in wrappers_of(self.optim_wrapper):
                _log.info("%s:\n%s", type(wrapper.optimizer).__name__, describe_groups(wrapper.optimizer.param_groups))

    def _maybe_compile(self, target: str) -> None:
        """Compile the parts of the model, or ``target`` of one that has no such parts."""
        settings = self.cfg.get("compile")
        asked = settings is True or isinstance(settings, Mapping)
        if not asked or not compile_parts(unwrap(self.model), {} if settings is True else settings):
            super()._maybe_compile(target)

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


def _hook_path(cfg: Config, hook: Any) -> str:
    """Return the YAML path of a hook's node."""
    nodes = [(f"default_hooks.{name}", node) for name, node in (cfg.get("default_hooks") or {}).items()]
    nodes += [(f"custom_hooks.{index}", node) for index, node in enumerate(cfg.get("custom_hooks") or ())]
    return next((path for path, node in nodes if node == hook), "default_hooks")
