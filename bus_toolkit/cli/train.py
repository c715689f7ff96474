"""Train a model from a YAML."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from bus_toolkit.cli.command import Command, add_launch_flags, seed
from bus_toolkit.cli.interrupt import program
from bus_toolkit.cli.loading import load_openmmlab
from bus_toolkit.cli.run import STOPPED
from bus_toolkit.own_log import is_first_process
from bus_toolkit.writing import make_writable_folder

if TYPE_CHECKING:
    from bus_toolkit.engine import TrainingInterrupted

NOTE = "BUS_TOOLKIT_STOP_NOTE"
_log = logging.getLogger(__name__)
_SWITCHES = ("amp", "auto_scale_lr", "no_validate", "debug")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a training."""
    parser.add_argument("config", help="the YAML of the run, or a name such as bus/bus_scenes_tiny")
    parser.add_argument(
        "--work-dir", help="folder of logs and checkpoints (default: the config's, else ./work_dirs/<config name>)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="latest",
        metavar="PATH",
        help="go on from PATH, or from the newest checkpoint of the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="train in mixed precision (bfloat16 on the CPU)")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the rates by samples an optimizer step / base batch size",
    )
    parser.add_argument("--no-validate", action="store_true", help="do not evaluate while training")
    parser.add_argument("--seed", type=seed, help="seed of Python, NumPy and torch (default: the config's)")
    add_launch_flags(parser)


def run(args: argparse.Namespace) -> int | None:
    """Train as the arguments say; return the exit code of a training that a signal has stopped.

    Raises:
        ConfigError: The note about the signal could not be left where it is asked for.
    """
    place = os.environ.get(NOTE)
    if place and is_first_process():
        make_writable_folder(Path(place).parent, NOTE)  # now, and not after days
    load_openmmlab(announced=True)
    from bus_toolkit.engine import RunOptions, TrainingInterrupted, train

    options = RunOptions(
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        no_validate=args.no_validate,
        seed=args.seed,
        launcher=args.launcher,
        debug=args.debug,
    )
    try:
        train(args.config, args.cfg_options, options)
    except TrainingInterrupted as interrupt:
        _log.warning(how_to_go_on(args, interrupt))
        if interrupt.number == signal.SIGINT:
            raise
        _leave_note(signal.Signals(interrupt.number).name)
        return STOPPED
    return None


def _leave_note(name: str) -> None:
    """Let a script that started the run know the signal: torchrun and srun have exit codes of their own."""
    place = os.environ.get(NOTE)
    if place and is_first_process():
        try:
            Path(place).write_text(f"{name}\n", encoding="utf-8")
        except OSError as error:  # the training has stopped as it should, and its exit code says so
            _log.warning(
                "%s: cannot write %s: %s. The script that waits for it sees no signal.", NOTE, place, error.strerror
            )


def how_to_go_on(args: argparse.Namespace, stop: TrainingInterrupted) -> str:
    """Return a line with the newest checkpoint of an interrupted training, and the command that resumes from it."""
    is_named, checkpoint = args.resume not in (None, "latest"), stop.checkpoint
    resume = ["--resume"] if checkpoint is not None else ["--resume", args.resume] if is_named else []
    words = [*program("train"), args.config, "--work-dir", stop.work_dir, *resume]
    words += [f"--{name.replace('_', '-')}" for name in _SWITCHES if getattr(args, name)]
    words += ["--seed", str(args.seed)] if args.seed is not None else []
    words += ["--cfg-options", *args.cfg_options] if args.cfg_options else []
    command = shlex.join(words) if args.launcher == "none" else "the same command with --resume"
    what = "Interrupted" if stop.number == signal.SIGINT else f"Stopped by {signal.Signals(stop.number).name}"
    if checkpoint is None:
        return f"{what} before the first checkpoint. To start again: {command}"
    if stop.step is None:
        return f"{what}. The newest checkpoint is {checkpoint}. To go on: {command}"
    return f"{what} after step {stop.step}, which is saved in {checkpoint}. To go on: {command}"


COMMAND = Command("Train a model from a YAML.", add_arguments, run)
