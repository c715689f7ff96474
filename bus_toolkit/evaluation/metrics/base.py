"""The base of our metrics: one entry for every sample, gathered over ranks without duplicates."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.evaluation.metrics.sample_ids import SampleId, in_order
from bus_toolkit.ops.precision import at_least_float32

_log = logging.getLogger(__name__)
# Under this key a row carries whose it is, while it is gathered over the ranks.
_SAMPLE = "__sample__"
WriteLines = Callable[[Iterable[Mapping[str, Any]]], None]


class SampleMetric(BaseMetric):
    """Collect one row a sample and summarise the rows of the whole data set on the main rank.

    Ranks are put together in the order of the data set and cut at its length, which drops the samples that a
    distributed sampler repeats. That needs exactly one entry a sample, so a sample without the fields of this metric
    counts as an empty row.

    Args:
        prefix: The start of the keys, before a slash; the class has a default.
        collect_device: How ranks exchange rows: ``gpu`` through the process group (any backend, no files), ``cpu``
            through a folder that all of them share.
    """

    needs: str = ""
    """What the model or the data must provide, for the note when it does not."""
    reads: ClassVar[tuple[str, ...] | None] = None
    """The predictions that ``row`` reads, as heads name them (fields of the data are always there): an evaluation
    computes no others. A model whose heads do not give them is refused. ``None``: not said, so that all are computed.
    """
    also_reads: ClassVar[tuple[str, ...]] = ()
    """Predictions that it reads where a model gives them."""

    def __init__(self, *, prefix: str | None = None, collect_device: str = "gpu") -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self._write_lines: WriteLines | None = None

    @property
    def gives_lines(self) -> bool:
        """Whether it has a verdict on single samples."""
        own = type(self)
        return own.verdicts is not SampleMetric.verdicts or own.sample_lines is not SampleMetric.sample_lines

    def write_lines_to(self, write: WriteLines | None) -> None:
        """From now on give the verdict on each sample to ``write``, on the main rank, when all samples are there."""
        self._write_lines = write if self.gives_lines else None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append one row for each sample of the batch.

        Raises:
            ComponentError: ``row`` returns anything but a dict.
        """
        rows = [self.row(sample) for sample in data_samples]
        for row in rows:
            if not isinstance(row, dict):
                raise ComponentError(
                    f"{type(self).__name__}.row must return a dict, got {describe(row)}. Return {{}} for a sample "
                    "without the fields."
                )
        if self._write_lines is not None:
            rows = [{**row, _SAMPLE: SampleId.of(sample)} for row, sample in zip(rows, data_samples, strict=True)]
        self.results.extend(rows)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return the metrics, or none and a note in the log if no sample has the fields.

        Raises:
            ComponentError: ``summarise`` returns anything but numbers by name.
        """
        samples = [row.pop(_SAMPLE, None) for row in results]
        rows = [row for row in results if row]
        if not rows:
            return self._not_reported(len(results))
        if len(rows) < len(results):
            text = "%s: measured on %d of %d samples; the others do not have %s."
            _log.info(text, type(self).__name__, len(rows), len(results), self.needs)
        if self._write_lines is not None:
            of_rows = [_numbered(sample, place) for place, sample in enumerate(samples) if results[place]]
            self._write_lines(self.sample_lines(of_rows, rows))
        figures = self.summarise(rows)
        if not isinstance(figures, dict) or not all(isinstance(value, Real) for value in figures.values()):
            raise ComponentError(
                f"{type(self).__name__}.summarise must return numbers by name, got {figures!r}. Return a dict of "
                "floats."
            )
        return figures

    def sample_lines(self, samples: Sequence[SampleId], rows: Sequence[dict]) -> Iterator[dict[str, Any]]:
        """Yield the lines of a samples file in the order of ids: whose they are, then each of ``verdicts``.

        Args:
            samples: Whose the rows are.
            rows: The non-empty rows.
        """
        for place in in_order([sample.id for sample in samples]):
            for verdict in self.verdicts(rows[place]):
                yield {**self.line_of(samples[place]), **verdict}

    def line_of(self, sample: SampleId) -> dict[str, Any]:
        """Return the start of a line: ``id``, ``image``, ``kind`` (the type of the question, else the task), metric."""
        kind = sample.kind or self.prefix
        return {"id": sample.id, "image": sample.image, "kind": kind, "metric": self.prefix}

    def verdicts(self, row: dict) -> Iterable[dict[str, Any]]:
        """Return what a samples file says of a row: ``prediction``, ``answer``, ``correct`` (0 or 1); none by default.

        A mapping a line, of JSON values; ``kind`` in it distinguishes several lines of a sample.
        """
        return ()

    def _not_reported(self, num_samples: int) -> dict[str, float]:
        _log.warning("%s: not reported. None of %d samples has %s.", type(self).__name__, num_samples, self.needs)
        return {}

    @abstractmethod
    def row(self, sample: dict) -> dict:
        """Return what this metric needs of one predicted sample, small and on the CPU; empty if it is missing."""

    @abstractmethod
    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the metrics of the non-empty rows."""


def _numbered(sample: SampleId, place: int) -> SampleId:
    """Return an id with the place in the data set where the data give none."""
    return sample if sample.id is not None else replace(sample, id=place)


def has(sample: dict, *names: str) -> bool:
    """Return whether all fields are there and not ``None``."""
    return all(sample.get(name) is not None for name in names)


def to_numpy(value: Any) -> np.ndarray:
    """Return a tensor or a sequence as an array; half precision becomes float32, and float64 stays."""
    tensor = torch.as_tensor(value).detach().cpu()
    return (at_least_float32(tensor) if tensor.is_floating_point() else tensor).numpy()
