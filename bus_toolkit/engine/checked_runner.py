"""MMEngine's Runner, whose parts are looked at as they are built: what cannot work is refused before the first step."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.data.text_survey import TextLimits
from bus_toolkit.engine.batches import Batches, scale_rates, wrappers_of
from bus_toolkit.engine.compile_parts import compile_parts
from bus_toolkit.engine.evaluator_checks import check_metrics, collect_over_group
from bus_toolkit.engine.fused_optimizer import keep_own_step, with_fused_step
from bus_toolkit.engine.held_out import check_held_out
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.rank_places import RankPlacesHook
from bus_toolkit.engine.hooks.run_state import RunStateHook
from bus_toolkit.engine.hooks.saved_run import SavedRunHook
from bus_toolkit.engine.hooks.step_seed import StepSeedHook
from bus_toolkit.engine.hooks.wanted_fields import WantedFieldsHook
from bus_toolkit.engine.late_scalars import read_late
from bus_toolkit.engine.launch import timeout_of
from bus_toolkit.engine.loader_checks import check_end, check_loader, goes_by_iterations
from bus_toolkit.engine.loader_faults import limit_waiting
from bus_toolkit.engine.loader_workers import own_workers
from bus_toolkit.engine.pair_checks import check_wrong_pairs
from bus_toolkit.engine.parallel.phased_ddp import PhaseHook
from bus_toolkit.engine.parallel.whole_state import GatherHook, SpreadHook, WholeStateHook
from bus_toolkit.engine.parallel.wrapping import say_unwrapped, wrapper_settings
from bus_toolkit.engine.parameter_groups import own_constructor, shared_weights_refused
from bus_toolkit.engine.prepared_batches import prepare_in_workers
from bus_toolkit.engine.quiet import split_screen_and_file
from bus_toolkit.engine.rank_watch import start_watch
from bus_toolkit.engine.refusals import data_errors_at, refusals_at
from bus_toolkit.engine.schedule_checks import warn_of_climbing
from bus_toolkit.engine.seeded_loader import seeded_loader
from bus_toolkit.engine.step_guard import guard_steps
from bus_toolkit.engine.text_checks import check_texts
from bus_toolkit.engine.train_loops import own_loop, with_own_batches


class CheckedRunner(Runner):
    """The building of a run: environment, log, hooks, loaders, loops, optimizer, schedules; ``BusRunner`` runs it."""

    _timestamps: ClassVar[set[str]] = set()

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

    def build_message_hub(self, message_hub: dict[str, Any] | None = None) -> MessageHub:
        """Build MMEngine's log history; figures wait on the device until they are read."""
        return read_late(super().build_message_hub(message_hub))

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        """Register the hooks of the config, and those that no run goes without."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(StepSeedHook())
        self.register_hook(RankPlacesHook())
        self.register_hook(SavedRunHook())
        self.register_hook(RunStateHook())
        self.register_hook(WantedFieldsHook())
        for hook in (PhaseHook(), WholeStateHook(), GatherHook(), SpreadHook()):
            self.register_hook(hook)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Wrap the model of several processes as the config says, in DDP if it says nothing.

        Raises:
            ConfigError: The wrapper or its settings cannot be.
        """
        if self.distributed and not is_model_wrapper(model):
            model_wrapper_cfg = wrapper_settings(model_wrapper_cfg, self.cfg)
        elif not self.distributed:
            say_unwrapped(model_wrapper_cfg)
        return super().wrap_model(model_wrapper_cfg, model)

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
        if is_training:
            check_wrong_pairs(loader, path, model)
            prepare_in_workers(loader, model)
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
        collect_over_group(built.evaluator.metrics)
        return built

    def build_test_loop(self, loop: Any) -> BaseLoop:
        """Build the test loop.

        Raises:
            ConfigError: As for a validation.
        """
        built = super().build_test_loop(loop)
        check_metrics(built, unwrap(self.model), "test_evaluator")
        collect_over_group(built.evaluator.metrics)
        return built

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build MMEngine's optimizer wrapper; rules for rates and decay multiply, and a step is fused where it can be.

        Raises:
            ConfigError: Such weights, and parameter-wise settings that list them twice.
        """
        own = own_constructor(optim_wrapper.get("constructor")) if isinstance(optim_wrapper, Mapping) else None
        node = optim_wrapper if own is None else {**optim_wrapper, "constructor": own}
        node = with_fused_step(node, self.model)
        with refusals_at("optim_wrapper"), shared_weights_refused(self.model, optim_wrapper):
            built = super().build_optim_wrapper(node)
        guard_steps(built)
        for wrapper in wrappers_of(built):
            keep_own_step(wrapper.optimizer)
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

    def _maybe_compile(self, target: str) -> None:
        """Compile the parts of the model, or ``target`` of one that has no such parts."""
        settings = self.cfg.get("compile")
        asked = settings is True or isinstance(settings, Mapping)
        if not asked or not compile_parts(unwrap(self.model), {} if settings is True else settings):
            super()._maybe_compile(target)


def _hook_path(cfg: Config, hook: Any) -> str:
    """Return the YAML path of a hook's node."""
    nodes = [(f"default_hooks.{name}", node) for name, node in (cfg.get("default_hooks") or {}).items()]
    nodes += [(f"custom_hooks.{index}", node) for index, node in enumerate(cfg.get("custom_hooks") or ())]
    return next((path for path, node in nodes if node == hook), "default_hooks")
