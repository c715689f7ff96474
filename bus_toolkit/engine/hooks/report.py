"""The end of a run: the table, the results file and the pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from bus_toolkit.console import ScreenConsole
from bus_toolkit.engine.hooks.seen_images import seen_images
from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.report import render_report, write_results
from bus_toolkit.registry import HOOKS
from bus_toolkit.visualization.curves import draw_curves
from bus_toolkit.visualization.kept_patches import PatchPicture, draw_kept_patches

_log = logging.getLogger(__name__)
_UNIT = (
    "fractions in [0, 1], or as a plugin's metric says; num_*: counts; caption/nll: nats a token; "
    "caption/CIDEr_D: 0 to 10"
)


@HOOKS.register_module()
class ReportHook(Hook):
    """Report the last validation of a training, or a validation or test that runs alone; goes into ``default_hooks``.

    Prints a table and writes into ``<work_dir>/report/<val or test>/``: ``results.json`` (all metrics), ``curves.png``
    (after a training) and ``kept_patches_<n>.png``: which patches survived for which caption, with the score maps.

    Args:
        num_images: How many images are drawn, the first of the data set (with several processes: of the first one's
            share).
        images_per_picture: Rows of one PNG.
        note: A line below the table with facts that the figures do not show.
        console: Where to print; by default the standard output.

    Raises:
        ConfigError: A negative ``num_images``, or no row a picture.
    """

    priority = "LOWEST"

    def __init__(
        self, num_images: int = 8, images_per_picture: int = 4, note: str | None = None, console: Console | None = None
    ) -> None:
        if num_images < 0:
            raise ConfigError(f"ReportHook.num_images: must not be negative, got {num_images}. 0 draws none.")
        if images_per_picture < 1:
            raise ConfigError(f"ReportHook.images_per_picture: must be at least 1, got {images_per_picture}.")
        self.num_images, self.images_per_picture, self.note = num_images, images_per_picture, note
        self.console = console
        self._training = self._resumed = False
        self._metrics: dict[str, float] | None = None
        self._iterations: int | None = None
        self._pictures = _KeptPictures(num_images)

    @property
    def reads(self) -> tuple[str, ...]:
        """The predictions that it draws, as long as a picture is missing; only the main process draws."""
        return ("kept", "scores", "patch_grid") if is_main_process() and not self._pictures.is_full else ()

    def before_train(self, runner: Runner) -> None:
        """Wait for the last validation."""
        self._training, self._resumed, self._metrics = True, runner.iter > 0, None

    def before_val(self, runner: Runner) -> None:
        """Forget the pictures of an earlier validation."""
        self._pictures = _KeptPictures(self.num_images)

    def before_test(self, runner: Runner) -> None:
        """Forget the pictures of an earlier evaluation."""
        self._pictures = _KeptPictures(self.num_images)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Keep the first images, drawn with the patches that were kept."""
        if is_main_process() and "inputs" in data_batch:
            self._pictures.add_batch(data_batch["inputs"], outputs or [])

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Do as after a batch of a validation."""
        self.after_val_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the metrics until the training ends; report now if there is none."""
        self._metrics, self._iterations = dict(metrics or {}), _iterations(runner)
        if not self._training:
            self._report(runner, "val")

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report the test."""
        self._metrics, self._iterations = dict(metrics or {}), _iterations(runner)
        self._report(runner, "test")

    def after_train(self, runner: Runner) -> None:
        """Report the last validation."""
        self._report(runner, "val")
        self._training = False

    def _report(self, runner: Runner, stage: str) -> None:
        if not is_main_process() or (self._metrics is None and not self._training):
            return
        folder = Path(runner.work_dir) / "report" / stage
        console = self.console or ScreenConsole(highlight=False)
        paths = self._draw(runner, folder)
        if self._metrics is not None:
            console.print()
            console.print(render_report(self._metrics, title=_title(runner, stage, self._iterations), note=self.note))
            payload = {
                "stage": stage,
                "iterations": self._iterations,
                "unit": _UNIT,
                "note": self.note,
                "metrics": _plain(self._metrics),
                "pictures": [path.name for path in paths],
            }
            paths = [write_results(folder / "results.json", payload), *paths]
        console.print()
        for path in paths:
            console.print(str(path), markup=False, soft_wrap=True)

    def _draw(self, runner: Runner, folder: Path) -> list[Path]:
        """Draw all pictures; a failing one must not cost the figures of a long run, so it is logged."""
        paths: list[Path] = []
        for old in folder.glob("kept_patches_*.png"):
            old.unlink()
        try:
            pictures = self._pictures.all
            for number, start in enumerate(range(0, len(pictures), self.images_per_picture)):
                part = pictures[start : start + self.images_per_picture]
                paths.append(draw_kept_patches(part, folder / f"kept_patches_{number}.png"))
            if self._training:
                curves = draw_curves(_scalar_files(runner, resumed=self._resumed), folder / "curves.png")
                paths += [curves] if curves else []
        except Exception:
            _log.warning("ReportHook: a picture could not be drawn.", exc_info=True)
        return paths


class _KeptPictures:
    """The first images of an evaluation, each once, drawn with the patches that were kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._by_key: dict[Any, PatchPicture] = {}

    @property
    def all(self) -> list[PatchPicture]:
        """The pictures in the order of the data set."""
        return list(self._by_key.values())

    @property
    def is_full(self) -> bool:
        """Whether no picture is missing."""
        return len(self._by_key) >= self.limit

    def add_batch(self, inputs: Any, outputs: Sequence[Any]) -> None:
        """Add the new images of a predicted batch; ``inputs`` are its images."""
        for row, output in enumerate(outputs):
            if self.is_full:
                return
            for position, (image, sample) in enumerate(seen_images(inputs, row, output.to_dict())):
                # An image comes once for each of its captions; its id is that of the image, not of the row.
                key = (sample.get("image_id", len(self._by_key)), position)
                wanted = not self.is_full and key not in self._by_key
                if wanted and sample.get("kept") is not None and sample.get("patch_grid") is not None:
                    self._by_key[key] = PatchPicture.from_prediction(image, sample)


def _title(runner: Runner, stage: str, iterations: int | None) -> str:
    title = "Test" if stage == "test" else "Validation"
    if iterations is not None:
        return f"{title} after {iterations} iterations"
    return f"{title} of {runner._load_from or 'the initial weights'}"


def _scalar_files(runner: Runner, *, resumed: bool) -> list[Path]:
    """Return the files of logged figures; a resumed training has one for each start."""
    own = Path(runner.log_dir) / "vis_data" / "scalars.json"
    earlier = sorted(Path(runner.work_dir).glob("*/vis_data/scalars.json")) if resumed else []
    return [path for path in earlier if path != own] + [own]


def _iterations(runner: Runner) -> int | None:
    """Return how many iterations were trained; ``None`` without a training, which asking would build."""
    return runner.iter if not isinstance(runner._train_loop, dict) and runner._train_loop is not None else None


def _plain(metrics: Mapping[str, Any]) -> dict[str, float | str]:
    return {key: float(value) if isinstance(value, Real) else str(value) for key, value in metrics.items()}
