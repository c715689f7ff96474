"""The verdict on each sample of a test: written beside the metrics, or tallied."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.eval_loop import EvalLoop
from bus_toolkit.evaluation.lost_by_downsampling import LostByDownsampling
from bus_toolkit.evaluation.metrics.base import SampleMetric, WriteLines
from bus_toolkit.evaluation.sample_file import SampleFile

_log = logging.getLogger(__name__)


class SampleLinesHook(Hook):
    """Write a line for each verdict of a test, and tally those on what a smaller image loses.

    ``build_runner`` adds it for ``RunOptions.samples_file`` and ``RunOptions.lost_by_downsampling``. The metrics follow
    one another in the order of the evaluator, their lines in the order of ids.

    Args:
        path: The file, ``.jsonl`` or ``.jsonl.gz``; ``None`` writes none.
        lost: Tallies; ``None`` for nothing.
    """

    def __init__(self, path: str | Path | None = None, lost: LostByDownsampling | None = None) -> None:
        self.path, self._lost = path, lost
        self._flag = "--samples" if path is not None else "--lost-by-downsampling"
        self._file: SampleFile | None = None

    def before_test(self, runner: Runner) -> None:
        """Let the metrics write.

        Raises:
            ConfigError: None of them has a verdict on single samples.
        """
        self._file = None if self.path is None else SampleFile(self.path)
        metrics = runner.test_evaluator.metrics
        writing = [metric for metric in metrics if isinstance(metric, SampleMetric) and metric.gives_lines]
        if not writing:
            raise ConfigError(
                f"{self._flag}: needs a metric with a verdict on single samples, got {_names(metrics) or 'none'}. Use "
                "one of the toolkit in test_evaluator, or implement verdicts in yours (SampleMetric.verdicts)."
            )
        for metric in writing:
            metric.write_lines_to(self._write)
        self._loop_writes_to(runner, self._write)
        silent = [metric for metric in metrics if metric not in writing]
        if silent:
            _log.warning("%s: no lines of %s, which has no verdict on single samples.", self._flag, _names(silent))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put what was tallied beside the other figures, before they are reported."""
        if self._lost is not None and metrics is not None and is_main_process():
            metrics.update(self._lost.figures())

    def after_test(self, runner: Runner) -> None:
        """Let the file appear."""
        for metric in runner.test_evaluator.metrics:
            if isinstance(metric, SampleMetric):
                metric.write_lines_to(None)
        self._loop_writes_to(runner, None)
        if self._file is not None and is_main_process():
            self._file.close()
            if self._file.num_lines:
                _log.info("Wrote %d lines into %s.", self._file.num_lines, self.path)
            else:
                _log.warning("--samples: no lines for %s. No sample has what the metrics read.", self.path)
        self._file = None

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        whole = list(lines)
        if self._file is not None:
            self._file.write(whole)
        if self._lost is not None:
            self._lost.add(whole)

    def _loop_writes_to(self, runner: Runner, write: WriteLines | None) -> None:
        if isinstance(runner.test_loop, EvalLoop):
            runner.test_loop.write_lines = write


def _names(metrics: list) -> str:
    return ", ".join(type(metric).__name__ for metric in metrics)
