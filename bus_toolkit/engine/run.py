"""Train or evaluate from a config file: what ``bus-toolkit train`` and ``test`` call."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from bus_toolkit.config import load_config
from bus_toolkit.config.overrides import Overrides
from bus_toolkit.console import leave_lost_screen
from bus_toolkit.engine.amp import autocast
from bus_toolkit.engine.build_runner import build_runner
from bus_toolkit.engine.checkpoint import latest_checkpoint
from bus_toolkit.engine.hooks.model_state import unwrap
from bus_toolkit.engine.hooks.stop_requests import StopRequestHook
from bus_toolkit.engine.launch import shutdown_distributed, timeout_of
from bus_toolkit.engine.options import RunOptions
from bus_toolkit.engine.quiet import quiet_hosts
from bus_toolkit.engine.rank_watch import rank_faults
from bus_toolkit.engine.stop_signals import StopRequested, StopSignals
from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.report import write_results
from bus_toolkit.heads.self_critical import SelfCriticalCaptionHead
from bus_toolkit.home import expand_home
from bus_toolkit.own_log import log_to_screen
from bus_toolkit.run_page.folder import PAGE
from bus_toolkit.weights.settings import check_files, checkpoint_of
from bus_toolkit.writing import make_writable_folder, writing

_log = logging.getLogger(__name__)
_OF_TRAINING = ("train_dataloader", "train_cfg", "optim_wrapper")


class TrainingInterrupted(KeyboardInterrupt):
    """A training that a signal has ended, between two steps of its optimizer.

    Attributes:
        work_dir: The folder of its files.
        checkpoint: Its newest one, or that which it was resumed from; ``None`` if it has none. An earlier run's does
            not count.
        number: The signal: SIGINT (Ctrl-C), SIGTERM, SIGUSR1 or SIGHUP.
        step: Iterations done when it was saved; ``None`` if nothing was.
    """

    def __init__(
        self, work_dir: str, checkpoint: Path | None = None, number: int = signal.SIGINT, step: int | None = None
    ) -> None:
        super().__init__()
        self.work_dir, self.checkpoint, self.number, self.step = work_dir, checkpoint, number, step


def train(
    config: str | Path,
    overrides: Overrides = (),
    options: RunOptions | None = None,
    *,
    hooks: Sequence[Hook] = (),
) -> None:
    """Train the model of ``config``.

    Args:
        config: Path of the YAML.
        overrides: ``key=value`` words as in ``--cfg-options``, or values by YAML path.
        options: The flags of the run.
        hooks: More hooks than those of the config.

    SIGTERM, SIGUSR1, SIGHUP and Ctrl-C let it finish its step and save; a second Ctrl-C ends the process at once.

    Raises:
        BusError: Anything that the user can correct; see :mod:`bus_toolkit.errors`.
        TrainingInterrupted: One of these signals has ended it.
    """
    log_to_screen()
    quiet_hosts()
    for name in ("samples_file", "lost_by_downsampling"):
        if getattr(options, name, None) is not None:
            raise ConfigError(f"{name}: a test has verdicts, got it for a training. Give it to the test.")
    cfg = load_config(config, overrides)
    if all(cfg.get(key) is None for key in _OF_TRAINING) and cfg.get("test_dataloader") is not None:
        text = "got none of {}: the config evaluates a checkpoint. Run: bus-toolkit test {} CHECKPOINT."
        raise ConfigError(f"{config}: {text.format(', '.join(_OF_TRAINING), config)}")
    _require(cfg, "a training", "model", *_OF_TRAINING)
    if not cfg.get("resume") and (options is None or options.resume is None):  # a resumed run needs none of them
        check_files(cfg.model)
    try:
        with rank_faults(), StopSignals() as signals:
            _train(cfg, options, hooks, signals)
    finally:
        shutdown_distributed()


def _train(cfg: Config, options: RunOptions | None, hooks: Sequence[Hook], signals: StopSignals) -> None:
    """Build the Runner and let it train; it is gone when the process group is closed."""
    try:
        runner = build_runner(cfg, options)
    except StopRequested as stop:
        raise TrainingInterrupted(str(cfg.work_dir), number=stop.number) from stop
    stopping = StopRequestHook(signals, timeout_of(cfg))
    for hook in (*hooks, stopping):
        runner.register_hook(hook)
    _warn_of_no_start(cfg, unwrap(runner.model))
    try:
        runner.train()
    except KeyboardInterrupt as interrupt:
        number = interrupt.number if isinstance(interrupt, StopRequested) else signal.SIGINT
        leave_lost_screen()  # a terminal that was closed
        step = stopping.save(runner) if isinstance(interrupt, StopRequested) else None
        has_own = "last_ckpt" in runner.message_hub.runtime_info or runner._resume
        checkpoint = latest_checkpoint(cfg.work_dir) if has_own else None
        raise TrainingInterrupted(str(cfg.work_dir), checkpoint, number, step) from interrupt
    tokenizer: Any = getattr(unwrap(runner.model), "tokenizer", None)
    if getattr(tokenizer, "num_unknown", None):
        _log.warning(
            "Unknown words: %.2f %% of the %d words read in training were [UNK]; model.tokenizer does not know them.",
            100 * tokenizer.unknown_share,
            tokenizer.num_words,
        )
    page = Path(runner.work_dir) / PAGE
    shown = f", and as one page in {page}" if page.is_file() else ""
    _log.info("Logs, checkpoints and the resolved config are in %s%s.", runner.work_dir, shown)


def _warn_of_no_start(cfg: Config, model: Any) -> None:
    """Warn where captions are to be trained by their score, and no model is loaded that writes any."""
    if checkpoint_of(cfg.get("load_from")) or cfg.get("resume"):
        return
    for name, head in getattr(model, "heads", {}).items():
        if isinstance(head, SelfCriticalCaptionHead):
            _log.warning(
                "model.heads.%s: SelfCriticalCaptionHead trains a model further that writes captions already, got no "
                "load_from: all that random weights write scores 0. Set load_from to a checkpoint of CaptionHead.",
                name,
            )


def evaluate(
    config: str | Path,
    overrides: Overrides = (),
    options: RunOptions | None = None,
    *,
    out: str | Path | None = None,
    hooks: Sequence[Hook] = (),
) -> dict[str, Any]:
    """Evaluate the checkpoint ``options.load_from`` with the model, data and metrics of ``config``.

    Args:
        config: Path of the YAML.
        overrides: ``key=value`` words as in ``--cfg-options``, or values by YAML path.
        options: The flags of the run; ``load_from`` is the checkpoint, which must fit the model exactly.
        out: Write the metrics to this JSON file.
        hooks: More hooks than those of the config.

    Returns:
        The metrics by name.

    Raises:
        BusError: Anything that the user can mend; see :mod:`bus_toolkit.errors`.
    """
    out = None if out is None else expand_home(out)
    if out is not None and out.suffix != ".json":
        raise ConfigError(f"--out: the metrics are written as JSON, got {out}. Give a name that ends in .json.")
    if out is not None:
        make_writable_folder(out.parent, "--out")  # an evaluation may take hours
    options = options or RunOptions()
    log_to_screen()
    quiet_hosts()
    cfg = load_config(config, overrides)
    _require(cfg, "an evaluation", "model")
    if cfg.get("test_dataloader") is None and cfg.get("val_dataloader") is None:
        raise ConfigError("test_dataloader: an evaluation needs it or val_dataloader, got neither. Add one of them.")
    # Sections that only a training needs are left out, so that an evaluation does not ask for the training data.
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.resume = False
    try:
        with rank_faults(), autocast() if options.amp else contextlib.nullcontext():
            runner = build_runner(cfg, options)
            for hook in hooks:
                runner.register_hook(hook)
            metrics = runner.test()
        if out is not None and is_main_process():
            with writing(out, "--out"):
                write_results(out, metrics)
    finally:
        shutdown_distributed()
    return metrics


def _require(cfg: Config, purpose: str, *keys: str) -> None:
    advice = "Add it, or put a base file that has it into _base_."
    missing = [f"{key}: {purpose} needs it, got none. {advice}" for key in keys if cfg.get(key) is None]
    if missing:
        raise ConfigError(missing)
