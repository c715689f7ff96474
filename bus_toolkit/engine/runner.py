"""Build MMEngine's Runner from a config and the flags of a run."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import CheckpointLoader, EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.config import dump_config
from bus_toolkit.data.text_survey import TextLimits
from bus_toolkit.engine.batches import Batches, wrappers_of
from bus_toolkit.engine.checkpoint import bring_home, has_checkpoint, install_safe_loader
from bus_toolkit.engine.compile_parts import compile_parts
from bus_toolkit.engine.hooks.missed_validation import MissedValidationHook
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.optimizer_steps import WholeStepsHook
from bus_toolkit.engine.hooks.required import check_required_hooks
from bus_toolkit.engine.hooks.saved_run import SavedRunHook
from bus_toolkit.engine.hooks.step_seed import StepSeedHook
from bus_toolkit.engine.launch import init_distributed
from bus_toolkit.engine.loader_checks import check_end, check_loader, check_pipeline_sizes
from bus_toolkit.engine.loggers import check_loggers
from bus_toolkit.engine.options import RunOptions, apply_options
from bus_toolkit.engine.parameter_groups import describe_groups, own_constructor
from bus_toolkit.engine.quiet import quiet_hosts, split_screen_and_file
from bus_toolkit.engine.recompute import KEY, matching_modules, own_checkpointing
from bus_toolkit.engine.refusals import refusals_at
from bus_toolkit.engine.resuming import follow_config, plans_of
from bus_toolkit.engine.seeded_loader import seeded_loader
from bus_toolkit.engine.text_checks import check_answer_lists, check_texts
from bus_toolkit.engine.vocabulary import (
    VOCABULARY_FILE,
    is_counted,
    reading,
    words_of,
    words_of_checkpoint,
    write_words,
)
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.models.momentum import copied_parts
from bus_toolkit.registry import LOOPS
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.settings import Pretrained, checkpoint_of, load_model
from bus_toolkit.weights.table_files import IDENTITY
from bus_toolkit.writing import make_writable_folder

_log = logging.getLogger(__name__)
CONFIG_FILE = "config.yaml"
# Without these a run would train wrongly (momentum, schedules, torn checkpoints) or silently: a config that does not
# name them gets them; `default_hooks.<name>: null` leaves one out, if the model does not depend on it.
_DEFAULT_HOOKS = {
    "checkpoint": "bus_toolkit.AtomicCheckpointHook",
    "progress": "bus_toolkit.RichProgressHook",
    "model_state": "bus_toolkit.ModelStateHook",
    "keep_ratio_schedule": "bus_toolkit.TrainingProgressHook",
    "learning_faults": "bus_toolkit.LearningFaultsHook",
}
_MMENGINE_HOOKS = {"runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"}


class BusRunner(Runner):
    """MMEngine's Runner with a quiet screen, a resolved config that loads again, and checkpoints that must fit."""

    _timestamps: ClassVar[set[str]] = set()

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Prepare the processes; give the run a time stamp of its own.

        MMEngine finds logger and log history by that stamp, in seconds: two runs of one process would share them.
        """
        super().setup_env(env_cfg)
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

    @master_only
    def write_config(self) -> None:
        """Write the resolved config beside the log; of a training into the work dir too, unless a run is there.

        What lies in a work dir belongs to its ``last_checkpoint``, so an earlier run's stays until ``save_checkpoint``.
        """
        dump_config(self.cfg, Path(self.log_dir) / CONFIG_FILE)
        if self._train_loop is not None and not has_checkpoint(self.work_dir):
            dump_config(self.cfg, Path(self.work_dir) / CONFIG_FILE)

    @master_only
    def save_checkpoint(
        self, out_dir: str, filename: str, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Save a checkpoint, and beside it the config and the words that it was trained with."""
        # A copy, since MMEngine's hook saves the best checkpoint and the last one with one and the same dict.
        super().save_checkpoint(out_dir, filename, *args, meta=dict(meta or {}), **kwargs)
        dump_config(self.cfg, Path(self.work_dir) / CONFIG_FILE)
        words = words_of(getattr(unwrap(self.model), "tokenizer", None))
        if words is not None and is_counted((self.cfg.get("model") or {}).get("tokenizer")):
            write_words(words, Path(self.work_dir) / VOCABULARY_FILE)

    def train(self) -> nn.Module:
        """Train, with ``activation_checkpointing`` and ``compile`` as the config sets them."""
        with own_checkpointing():
            return super().train()

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        """Register the hooks of the config, and those that no run goes without."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(StepSeedHook())
        self.register_hook(SavedRunHook())

    def build_dataloader(self, dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        """Build a data loader with random numbers of its own, and refuse one that would train on nothing.

        Raises:
            DataError: It has no batch, or its data cannot be read; the message starts with its YAML path.
        """
        keys = ("train_dataloader", "val_dataloader", "test_dataloader")
        path = next((key for key in keys if getattr(self, f"_{key}", None) is dataloader), "dataloader")
        try:
            with refusals_at(path):
                loader = super().build_dataloader(dataloader, seed=seed, diff_rank_seed=diff_rank_seed)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        model = unwrap(self.model)
        check_loader(loader, path, model)
        is_training = path == "train_dataloader"
        check_texts(loader.dataset, path, model, TextLimits.of(self.cfg), training=is_training)
        if loader is not dataloader and not (is_training and self._goes_by_iterations()):
            check_end(loader, path)
        return loader if loader is dataloader else seeded_loader(loader, lambda: int(self.seed))

    def _goes_by_iterations(self) -> bool:
        """Return whether the train loop asks for batches one by one, not for all of an epoch."""
        loop: Any = self._train_loop
        if isinstance(loop, Mapping):
            kind = LOOPS.get(loop["type"]) if "type" in loop else None
            return loop.get("by_epoch") is False if kind is None else not issubclass(kind, EpochBasedTrainLoop)
        return not isinstance(loop, EpochBasedTrainLoop)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build MMEngine's optimizer wrapper; the rules for rates and decay of parameters multiply.

        Raises:
            ConfigError: Such weights, and parameter-wise settings that list them twice.
        """
        if isinstance(optim_wrapper, Mapping):
            own = own_constructor(optim_wrapper.get("constructor"))
            optim_wrapper = optim_wrapper if own is None else {**optim_wrapper, "constructor": own}
        with refusals_at("optim_wrapper"):
            try:
                return super().build_optim_wrapper(optim_wrapper)
            except ValueError as error:
                settings = optim_wrapper.get("paramwise_cfg") if isinstance(optim_wrapper, Mapping) else None
                if not settings or settings.get("bypass_duplicate") or not _shares_weights(self.model):
                    raise
                raise ConfigError(
                    "optim_wrapper.paramwise_cfg.bypass_duplicate: must be true for a model in which two parts share "
                    "a weight, got false. Set it to true."
                ) from error

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """Build MMEngine's schedules.

        Raises:
            ConfigError: One refuses its values.
        """
        with refusals_at("param_scheduler"):
            return super().build_param_scheduler(scheduler)

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
        settings = auto_scale_lr or {}
        if not settings.get("enable"):
            return
        batches, base = Batches.of(self.train_dataloader, optim_wrapper), settings["base_batch_size"]
        factor = batches.samples_per_update / base
        for wrapper in wrappers_of(optim_wrapper):
            for group in wrapper.param_groups:
                group["lr"] *= factor
        _log.info("--auto-scale-lr: rates times %.4g: %s, %d in the config.", factor, batches, base)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume from a checkpoint: its weights, moments and progress; rates, schedules and lengths are the config's.

        It may lie in another folder than it was written into. What differs from the run before is reported.

        Raises:
            CheckpointError: It belongs to another model or another optimizer.
        """
        asked = self._randomness_cfg.get("seed")
        # Outside of train() MMEngine builds the optimizer only here: then there is no plan to be replaced.
        plans = plans_of(self) if isinstance(self.optim_wrapper, OptimWrapper) else None
        super().resume(filename, *args, **kwargs)
        (saved_run,) = (hook for hook in self.hooks if isinstance(hook, SavedRunHook))
        if plans is not None:
            follow_config(self, plans, saved_run.batches, saved_run.num_schedules)
        if asked is not None and asked != self.seed:
            _log.warning("--resume: the seed of the checkpoint counts, %s, not %s of the config.", self.seed, asked)
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
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        source = source_of(checkpoint, filename)
        for pattern, replacement in revise_keys or ():
            renamed = {re.sub(pattern, replacement, name): tensor for name, tensor in source.tensors.items()}
            source = replace(source, tensors=renamed)
        model, is_start = unwrap(self.model), not (self._resume or strict or self._train_loop is None)
        wanted = Pretrained(filename, layout=IDENTITY)
        if is_start and self.cfg.get("load_from"):
            wanted = Pretrained.parse(self.cfg.load_from)
        rule = LoadRule("start" if is_start else "resume" if self._resume else "evaluate", copies=copied_parts(model))
        report = load_model(model, source, wanted, rule, "load_from" if is_start else "")
        first = f"Loaded {len(report.loaded)} of the model's {len(model.state_dict())} tensors from {filename}."
        _log.info("\n".join([first, *report.details()]))
        self._has_loaded = True
        return checkpoint


def build_runner(cfg: Config, options: RunOptions | None = None) -> BusRunner:
    """Build the Runner for ``cfg``; its ``train()``, ``val()`` and ``test()`` do the rest.

    Args:
        cfg: The result of ``bus_toolkit.load_config``; it is changed in place by the options.
        options: The flags of the command line.

    Raises:
        ConfigError: A flag needs something that the config does not have, the launcher's environment is incomplete, or
            the work dir cannot be made.
        CheckpointError: The checkpoint to start from does not exist.
    """
    options = options or RunOptions()
    quiet_hosts()
    _share_evaluation(cfg)
    apply_options(cfg, options)
    check_loggers(cfg)
    make_writable_folder(cfg.work_dir, "work_dir")
    _log.info("Building the model and its data; everything of this run goes into %s.", cfg.work_dir)
    init_distributed(options.launcher, cfg)
    install_safe_loader(trusted=bool(cfg.get("trusted_checkpoints", False)))
    cfg.default_hooks = _with_default_hooks(cfg.get("default_hooks") or {})
    runner = _with_words(cfg)
    runner.write_config()
    matching_modules(unwrap(runner.model), cfg.get(KEY) or ())
    check_pipeline_sizes(cfg, unwrap(runner.model))
    check_answer_lists(unwrap(runner.model))
    if cfg.get("train_cfg") is not None:
        check_required_hooks(runner)
        runner.register_hook(WholeStepsHook())
        runner.register_hook(MissedValidationHook())
    return runner


def _hook_path(cfg: Config, hook: Any) -> str:
    """Return the YAML path of a hook's node."""
    nodes = [(f"default_hooks.{name}", node) for name, node in (cfg.get("default_hooks") or {}).items()]
    nodes += [(f"custom_hooks.{index}", node) for index, node in enumerate(cfg.get("custom_hooks") or ())]
    return next((path for path, node in nodes if node == hook), "default_hooks")


def _shares_weights(model: nn.Module) -> bool:
    """Return whether two modules hold the same parameter; torch refuses it in two groups of an optimizer."""
    listed = sum(len(module._parameters) for module in model.modules())
    return listed > len(list(model.parameters()))


def _with_words(cfg: Config) -> BusRunner:
    """Build the Runner; a tokenizer that counts its words has those of the checkpoint that the run starts from."""
    node = (cfg.get("model") or {}).get("tokenizer")
    if node is None or not is_counted(node):
        return BusRunner.from_cfg(cfg)
    start = checkpoint_of(cfg.get("load_from"))
    trusted = bool(cfg.get("trusted_checkpoints", False))
    checkpoint = load_checkpoint_file(start, "meta", trusted=trusted) if start and "://" not in start else None
    with words_of_checkpoint(node, start, checkpoint) as readable:
        cfg.model.tokenizer = readable
        runner = BusRunner.from_cfg(cfg)
    is_training = cfg.get("train_cfg") is not None
    runner.cfg.model.tokenizer = reading(node, Path(cfg.work_dir) / VOCABULARY_FILE) if is_training else node
    return runner


def _with_default_hooks(hooks: dict[str, Any]) -> dict[str, Any]:
    merged = {name: {"type": kind} for name, kind in _DEFAULT_HOOKS.items()} | dict(hooks)
    return {name: hook for name, hook in merged.items() if hook is not None or name in _MMENGINE_HOOKS}


def _share_evaluation(cfg: Config) -> None:
    """Let a config that describes only a validation be tested on it, by the same loop."""
    if cfg.get("test_dataloader") is not None:
        return
    if cfg.get("val_dataloader") is None:
        cfg.test_cfg = cfg.test_evaluator = None
        return
    cfg.test_dataloader, cfg.test_evaluator = copy.deepcopy(cfg.val_dataloader), copy.deepcopy(cfg.get("val_evaluator"))
    if cfg.get("test_cfg") is None:
        cfg.test_cfg = copy.deepcopy(cfg.get("val_cfg") or {})
        if cfg.test_cfg.get("type", "ValLoop") == "ValLoop":
            cfg.test_cfg.type = "TestLoop"
