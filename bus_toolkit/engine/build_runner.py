"""Build MMEngine's Runner from a config and the flags of a run."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bus_toolkit.engine.checkpoint import install_safe_loader
from bus_toolkit.engine.hooks.missed_validation import MissedValidationHook
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.optimizer_steps import WholeStepsHook
from bus_toolkit.engine.hooks.required import check_required_hooks
from bus_toolkit.engine.hooks.sample_lines import SampleLinesHook
from bus_toolkit.engine.launch import init_distributed
from bus_toolkit.engine.loader_checks import check_pipeline_sizes
from bus_toolkit.engine.loggers import check_loggers
from bus_toolkit.engine.options import LATEST, RunOptions, apply_options
from bus_toolkit.engine.preprocessor_check import check_preprocessor
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.engine.recompute import KEY, matching_modules
from bus_toolkit.engine.refusals import full_disk_reported
from bus_toolkit.engine.restart import note_start, resume_of_restart
from bus_toolkit.engine.run_lock import RunLock
from bus_toolkit.engine.runner import BusRunner
from bus_toolkit.engine.text_checks import check_answer_lists
from bus_toolkit.engine.vocabulary import VOCABULARY_FILE, is_counted, reading, words_of_checkpoint
from bus_toolkit.engine.whole_start import decide_start
from bus_toolkit.evaluation.lost_by_downsampling import LostByDownsampling
from bus_toolkit.ops.shared_work import on_first_rank
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.settings import checkpoint_of
from bus_toolkit.writing import make_writable_folder, writing

_log = logging.getLogger(__name__)
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


def build_runner(cfg: Config, options: RunOptions | None = None) -> BusRunner:
    """Build the Runner for ``cfg``; its ``train()``, ``val()`` and ``test()`` do the rest.

    Args:
        cfg: The result of ``bus_toolkit.load_config``; it is changed in place by the options.
        options: The flags of the command line.

    Raises:
        ConfigError: A flag needs something that the config does not have, the launcher's environment is incomplete, or
            the work dir cannot be made, or another training is running in it.
        CheckpointError: The checkpoint to start from does not exist.
        TrainingError: The disk is full.
    """
    options = options or RunOptions()
    quiet_hosts()
    _share_evaluation(cfg)
    apply_options(cfg, options)
    check_loggers(cfg)
    pair = options.lost_by_downsampling
    lost = None if pair is None else LostByDownsampling(*pair)
    _log.info("Building the model and its data; everything of this run goes into %s.", cfg.work_dir)
    init_distributed(options.launcher, cfg)
    is_training = cfg.get("train_cfg") is not None
    lock = _locked(cfg)  # before a checkpoint is chosen: a run that is about to end writes one more
    resume = resume_of_restart(str(cfg.work_dir), options.resume) if is_training else options.resume
    decide_start(cfg, resume, _source(options))
    make_writable_folder(cfg.work_dir, "work_dir")
    lock = _locked(cfg)  # of a folder that is new, now that nothing is refused
    install_safe_loader(trusted=bool(cfg.get("trusted_checkpoints", False)))
    cfg.default_hooks = _with_default_hooks(cfg.get("default_hooks") or {})
    with full_disk_reported(cfg.work_dir):
        runner = _with_words(cfg)
        runner.run_lock = lock
        runner.write_config()
    matching_modules(unwrap(runner.model), cfg.get(KEY) or ())
    check_preprocessor(unwrap(runner.model))
    check_pipeline_sizes(cfg, unwrap(runner.model))
    check_answer_lists(unwrap(runner.model))
    if options.samples_file is not None or lost is not None:
        runner.register_hook(SampleLinesHook(options.samples_file, lost))
    if is_training:
        check_required_hooks(runner)
        runner.register_hook(WholeStepsHook())
        runner.register_hook(MissedValidationHook())
    return runner


def _locked(cfg: Config) -> RunLock | None:
    """Return rank 0's lock on the work dir of a training; ``None`` on other ranks, and where there is no folder yet."""
    if cfg.get("train_cfg") is None:
        return None
    locks: list[RunLock] = []

    def lock() -> None:
        with writing(cfg.work_dir, "work_dir"):
            is_there = Path(cfg.work_dir).is_dir()
        if is_there:
            make_writable_folder(cfg.work_dir, "work_dir")
            with full_disk_reported(cfg.work_dir):  # an empty file, by which it was tried, fits into a full one
                locks.append(RunLock.of(cfg.work_dir))
                note_start(str(cfg.work_dir))

    on_first_rank(lock)
    return locks[0] if locks else None


def _source(options: RunOptions) -> str:
    """Return what names the checkpoint to start from, for messages."""
    if options.resume not in (None, LATEST):
        return "--resume"
    return "load_from" if options.load_from is None else "CHECKPOINT"


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
