"""``report.html`` in the work dir: the run as one page, while it trains and at its end."""

from __future__ import annotations

import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.engine.hooks.learning_curve import finite
from bus_toolkit.engine.hooks.run_state import counters
from bus_toolkit.engine.hooks.seen_images import seen_images
from bus_toolkit.errors import ConfigError
from bus_toolkit.json_text import dump_json
from bus_toolkit.registry import HOOKS
from bus_toolkit.run_page.folder import KEPT, NOTES, read_run, scalar_files
from bus_toolkit.run_page.page import write_page
from bus_toolkit.shipped import recipe_of
from bus_toolkit.visualization.kept_patches import PatchPicture
from bus_toolkit.visualization.kept_stages import KeptStages
from bus_toolkit.visualization.scalars import Scalars
from bus_toolkit.writing import write_whole

_log = logging.getLogger(__name__)
_PAUSE = 30.0  # seconds between two pages, at least
_SHARE = 50  # a page that takes a second is followed by as many without one: at most 2 % of the time
_PACKAGES = ("bus_toolkit", "torch", "onedl-mmengine", "transformers", "numpy")


@HOOKS.register_module()
class RunPageHook(Hook):
    """Write the run as one page into ``<work_dir>/report.html``; goes into ``default_hooks``.

    The page needs no network. It shows losses, metrics of validations, tokens, rates and speed, results beside chance,
    which patches of some samples each stage kept, bad samples, environment and config, of a resumed training from its
    first step on. ``bus-toolkit report RUN`` makes it again.

    Only the main process writes, and it reads what is logged already, so that no step waits for the device. A page
    that cannot be written is a warning.

    Args:
        num_images: How many samples are shown with their patches, the first of the data set.
        interval: Iterations between two pages, at least; pages also pause for half a minute and take 2 % of the time
            at most. Each validation and the end of the training have theirs.

    Raises:
        ConfigError: A negative ``num_images``, or an interval below 1.
    """

    priority = "LOWEST"

    def __init__(self, num_images: int = 6, interval: int = 50) -> None:
        if num_images < 0:
            raise ConfigError(f"RunPageHook.num_images: must not be negative, got {num_images}. 0 shows none.")
        if interval < 1:
            raise ConfigError(f"RunPageHook.interval: must be at least 1, got {interval}.")
        self.num_images, self.interval = num_images, interval
        self._samples: dict[Any, KeptStages] = {}
        self._scalars: Scalars | None = None
        self._metrics: dict[str, float] = {}
        self._trains = False
        self._next = 0.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The predictions that it shows, as long as a sample is missing."""
        wanted = is_main_process() and len(self._samples) < self.num_images
        return ("kept", "kept_stages", "stage_blocks", "patch_grid") if wanted else ()

    def before_train(self, runner: Runner) -> None:
        """Start with the curves of the parts that a resumed training goes on from."""
        self._trains, self._scalars, self._metrics = True, None, {}
        self._next = time.monotonic() + _PAUSE

    def before_val(self, runner: Runner) -> None:
        """Forget the samples of an earlier validation."""
        self._samples = {}

    def before_test(self, runner: Runner) -> None:
        """Forget the samples of an earlier evaluation."""
        self._samples = {}

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Keep the first samples."""
        if not is_main_process() or not isinstance(data_batch, Mapping) or "inputs" not in data_batch:
            return
        for row, output in enumerate(outputs or []):
            if len(self._samples) >= self.num_images:
                return
            for position, (image, sample) in enumerate(seen_images(data_batch["inputs"], row, output.to_dict())):
                key = (sample.get("image_id", len(self._samples)), position)
                has_patches = sample.get("kept") is not None and sample.get("patch_grid") is not None
                if has_patches and key not in self._samples and len(self._samples) < self.num_images:
                    picture = PatchPicture.from_prediction(image, sample)
                    self._samples[key] = KeptStages.of_picture(picture, _masks(sample))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Do as after a batch of a validation."""
        self.after_val_iter(runner, batch_idx, data_batch, outputs)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the page now and then."""
        if self.every_n_train_iters(runner, self.interval) and is_main_process() and time.monotonic() >= self._next:
            self._write(runner, "training", runner.iter + 1)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the page with the samples of this validation."""
        self._metrics = finite(metrics or {})
        done = runner.iter if self._trains else None
        words = "Validation" if done is None else f"Validation after {done} steps"
        self._write(runner, "training" if self._trains else None, done, words + _selected_by(runner.val_loop))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the page with the test."""
        self._write(runner, None, None, "Test" + _selected_by(runner.test_loop))

    def after_train(self, runner: Runner) -> None:
        """Write the page of the whole training."""
        self._write(runner, "finished" if runner.iter >= runner.max_iters else "ended early", runner.iter)
        self._trains = False

    def _write(self, runner: Runner, state: str | None, done: int | None, of: str | None = None) -> None:
        """Note what the page needs beside the log, then make it; whatever fails costs the page and not the run."""
        if not is_main_process():
            return
        started = time.monotonic()
        folder = Path(runner.work_dir)
        try:
            if of is not None and self._samples:
                shown = {"of": of, "samples": [asdict(sample) for sample in self._samples.values()]}
                write_whole(folder / KEPT, dump_json(shown))
            if state is not None:
                write_whole(folder / NOTES, dump_json(self._notes(runner, state, done), indent=1))
            write_page(read_run(folder, self._curves(runner)))
        except Exception:
            _log.warning("RunPageHook: the page of the run could not be written.", exc_info=True)
        took = time.monotonic() - started
        self._next = time.monotonic() + max(_PAUSE, _SHARE * took)

    def _curves(self, runner: Runner) -> Scalars | None:
        """Return the curves with what was logged since the last page; ``None`` where no training runs."""
        if not self._trains:
            return None
        if self._scalars is None:
            own = Path(runner.log_dir) / "vis_data" / "scalars.json"
            earlier = scalar_files(Path(runner.work_dir)) if runner._resume else []
            self._scalars = Scalars([*(path for path in earlier if path.resolve() != own.resolve()), own])
        self._scalars.update()
        return self._scalars

    def _notes(self, runner: Runner, state: str, done: int | None) -> dict[str, Any]:
        bad = counters(runner.train_dataloader.dataset)
        return {
            "state": state,
            "iteration": done,
            "max_iterations": runner.max_iters,
            "updated": datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            "recipe": recipe_of(runner.cfg.filename),
            "metrics": self._metrics,
            "bad_samples": [{"name": one.name, "size": one.size, "rows": one.rows} for one in bad],
            "environment": _environment(),
        }


def _selected_by(loop: Any) -> str:
    """Return whose text chose the patches, where it is not the one that is shown with them."""
    return ", patches chosen by the text of another sample" if getattr(loop, "selecting_text", "") == "other" else ""


def _masks(sample: Mapping[str, Any]) -> list[tuple[str, np.ndarray]]:
    stages, blocks = sample.get("kept_stages"), sample.get("stage_blocks") or []
    if stages is None:
        return []
    return [(f"after block {block}", mask.cpu().numpy()) for block, mask in zip(blocks, stages, strict=True)]


def _environment() -> dict[str, str]:
    """Return what a reader would need to run it again; the command as it was typed."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    on_gpu = torch.cuda.is_available()
    program = Path(sys.argv[0]).name
    return {
        "command": shlex.join(["bus-toolkit" if program == "__main__.py" else program, *sys.argv[1:]]),
        "machine": platform.node(),
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads",
        "processes": str(get_world_size()),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }
