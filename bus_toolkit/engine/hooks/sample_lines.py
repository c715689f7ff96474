"""The verdict on each sample of a test, written beside the metrics."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.eval_loop import EvalLoop
from bus_toolkit.evaluation.metrics.base import SampleMetric, WriteLines
from bus_toolkit.evaluation.sample_file import SampleFile

_log = logging.getLogger(__name__)


class SampleLinesHook(Hook):
    """Write a line for each verdict of a test; ``build_runner`` adds it for ``RunOptions.samples_file``.

    The metrics follow one another in the order of the evaluator, their lines in the order of ids.

    Args:
        path: The file, ``.jsonl`` or ``.jsonl.gz``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._file: SampleFile | None = None

    def before_test(self, runner: Runner) -> None:
        """Let the metrics write.

        Raises:
            ConfigError: None of them has a verdict on single samples.
        """
        self._file = SampleFile(self.path)
        metrics = runner.test_evaluator.metrics
        writing = [metric for metric in metrics if isinstance(metric, SampleMetric) and metric.gives_lines]
        if not writing:
            raise ConfigError(
                f"--samples: needs a metric with a verdict on single samples, got {_names(metrics) or 'none'}. Use one "
                "of the toolkit in test_evaluator, or implement verdicts in yours (SampleMetric.verdicts)."
            )
        for metric in writing:
            metric.write_lines_to(self._file.write)
        self._loop_writes_to(runner, self._file.write)
        silent = [metric for metric in metrics if metric not in writing]
        if silent:
            _log.warning("--samples: no lines of %s, which has no verdict on single samples.", _names(silent))

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

    def _loop_writes_to(self, runner: Runner, write: WriteLines | None) -> None:
        if isinstance(runner.test_loop, EvalLoop):
            runner.test_loop.write_lines = write


def _names(metrics: list) -> str:
    return ", ".join(type(metric).__name__ for metric in metrics)
