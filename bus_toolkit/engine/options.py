"""Apply the flags of ``bus-toolkit train`` and ``test`` to a loaded config."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from bus_toolkit.engine.amp import evaluate_in_amp, fit_amp_to_device, use_amp
from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.sample_file import checked_sample_path
from bus_toolkit.writing import make_writable_folder

LATEST = "latest"
_STAGES = (
    ("train_dataloader", "train_cfg", "optim_wrapper"),
    ("val_dataloader", "val_cfg", "val_evaluator"),
    ("test_dataloader", "test_cfg", "test_evaluator"),
)


@dataclass(frozen=True)
class RunOptions:
    """The flags of a run; every default leaves the config as it is.

    Attributes:
        work_dir: Folder of logs and checkpoints.
        resume: ``latest`` for the newest checkpoint of the work dir, or the path of one.
        load_from: Weights to start from.
        amp: Train in mixed precision; evaluate so if there is no optimizer.
        auto_scale_lr: Scale the learning rate by the samples of an optimizer step over the config's base batch size.
        no_validate: Train without validation.
        seed: Seed of Python, NumPy and torch.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        debug: Show everything that OpenMMLab logs.
        samples_file: Where a test writes its verdict on each sample, ``.jsonl`` or ``.jsonl.gz``.
        lost_by_downsampling: Two such files, of a model at full size and of the same one with smaller images: a test
            reports its accuracy on what is right in the first and wrong in the second, too.
    """

    work_dir: str | None = None
    resume: str | None = None
    load_from: str | None = None
    amp: bool = False
    auto_scale_lr: bool = False
    no_validate: bool = False
    seed: int | None = None
    launcher: str = "none"
    debug: bool = False
    samples_file: str | Path | None = None
    lost_by_downsampling: tuple[str | Path, str | Path] | None = None


def apply_options(cfg: Config, options: RunOptions) -> None:
    """Write ``options`` into ``cfg``; what it starts from, :func:`decide_start` decides later.

    Raises:
        ConfigError: A flag needs something that the config does not have.
    """
    cfg.work_dir = os.path.expanduser(options.work_dir or cfg.get("work_dir") or f"./work_dirs/{_name(cfg)}")
    if options.load_from is not None:
        cfg.load_from = options.load_from
    if options.amp and cfg.get("optim_wrapper") is None:
        evaluate_in_amp(cfg)
    elif options.amp:
        use_amp(cfg)
    fit_amp_to_device(cfg)
    if options.auto_scale_lr:
        _scale_lr(cfg)
    if options.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if options.seed is not None:
        if not 0 <= options.seed < 2**32:
            raise ConfigError(f"--seed: must be in 0 to 2^32 - 1, got {options.seed}. NumPy takes no other.")
        cfg.setdefault("randomness", {})
        cfg.randomness.seed = options.seed
    if options.debug:
        cfg.log_level = "DEBUG"
    if options.samples_file is not None:
        make_writable_folder(checked_sample_path(options.samples_file, "--samples").parent, "--samples")
        _need_test(cfg, "--samples")
    if options.lost_by_downsampling is not None:
        _need_test(cfg, "--lost-by-downsampling")
    _check_complete(cfg)


def _name(cfg: Config) -> str:
    return Path(cfg.filename).stem if cfg.filename else "run"


def _scale_lr(cfg: Config) -> None:
    base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    if not isinstance(base, int) or base < 1:
        raise ConfigError(
            f"auto_scale_lr.base_batch_size: --auto-scale-lr needs it, got {base!r}. It is how many samples an "
            "optimizer step had when optim_wrapper.optimizer.lr was chosen, a whole number from 1. Add it."
        )
    if "batch_size" not in (cfg.get("train_dataloader") or {}):
        raise ConfigError("train_dataloader.batch_size: --auto-scale-lr needs it, got none. Add it to the config.")
    cfg.auto_scale_lr.enable = True


def _check_complete(cfg: Config) -> None:
    """Refuse a stage of which only some keys are there; MMEngine needs all or none."""
    problems = []
    for keys in _STAGES:
        missing = [key for key in keys if cfg.get(key) is None]
        if 0 < len(missing) < len(keys):
            given = ", ".join(key for key in keys if key not in missing)
            problems += [f"{key}: missing although there is {given}. Add it, or remove the others." for key in missing]
    if problems:
        raise ConfigError(problems)


def _need_test(cfg: Config, flag: str) -> None:
    if cfg.get("test_dataloader") is None:
        raise ConfigError(f"{flag}: a test has verdicts, got a config without test_dataloader. Add it.")
