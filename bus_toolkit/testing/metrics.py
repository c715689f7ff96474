"""The conformance kit for metrics."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from bus_toolkit.evaluation.metrics.base import SampleMetric
from bus_toolkit.evaluation.wanted_fields import wanted_fields
from bus_toolkit.registry import METRICS
from bus_toolkit.testing.check import run_checks
from bus_toolkit.testing.engine_parts import EngineFactory
from bus_toolkit.testing.model import TINY_HEADS, tiny_batch, tiny_caption_lm, tiny_model

Values = dict[str, float]


class MetricCase:
    """A metric, and what tiny models with all of our heads, and further ones, predict for three samples."""

    def __init__(
        self,
        part: str | Callable[..., Any],
        settings: dict[str, Any],
        heads: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.factory = EngineFactory(METRICS, part, settings)
        self.name, self.heads = self.factory.name, {**TINY_HEADS, **(heads or {})}

    def build(self) -> Any:
        """Return a new metric."""
        return self.factory.build()

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """The predicted samples, as MMEngine's evaluator hands them to a metric."""
        return self.predicted()

    def predicted(self, fields: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Return them with these predictions alone; ``None`` for all."""
        model, (images, samples) = tiny_model(self.heads).eval(), tiny_batch()
        model.set_progress(0.0, 0)
        with torch.no_grad():
            samples = model.predict(images, samples, fields=fields)
        for sample in samples:  # as ZeroShotLoop does, which no head takes part in
            sample.set_field(torch.tensor([1, 0, 2]), "pred_classes", dtype=None)
        return [sample.to_dict() for sample in tiny_caption_lm().eval().predict(samples)]

    def values(self, batches: Sequence[Sequence[dict[str, Any]]]) -> Values:
        """Return what a new metric reports of these batches."""
        metric = self.build()
        for batch in batches:
            metric.process({}, copy.deepcopy(list(batch)))
        return metric.evaluate(sum(map(len, batches)))

    def lines(self, batches: Sequence[Sequence[dict[str, Any]]]) -> list[Mapping[str, Any]]:
        """Return the lines that a new metric has for these batches; none of one that is no ``SampleMetric``."""
        metric: Any = self.build()
        lines: list[Mapping[str, Any]] = []
        if isinstance(metric, SampleMetric):
            metric.write_lines_to(lambda given: lines.extend(given))
        for batch in batches:
            metric.process({}, copy.deepcopy(list(batch)))
        metric.evaluate(sum(map(len, batches)))
        return lines


def check_metric(
    part: str | Callable[..., Any], *, heads: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
) -> None:
    """Check that a metric works in MMEngine's evaluation.

    Args:
        part: Its registered name (in ``bus_toolkit.registry.METRICS``), or its class.
        heads: For a metric of the predictions of a head of its own, nodes by name, such as ``{"mine": {"type":
            "MineHead"}}``. Those of our heads are always there.
        **settings: Its arguments.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(MetricCase(part, settings, heads), _CHECKS)


def check_values(case: MetricCase) -> None:
    """It reports numbers by name, at least one."""
    metric = case.build()
    assert isinstance(metric, BaseMetric), f"it is no mmengine BaseMetric but a {type(metric).__name__}"
    values = case.values([case.predictions])
    assert values, (
        f"it reports nothing for the predictions {', '.join(sorted(case.predictions[0]))}; if it reads those of "
        "another head, check it together with that head (heads=...)"
    )
    for name, value in values.items():
        assert isinstance(name, str) and isinstance(value, int | float), f"{name!r} is {value!r}, no number"
        assert not math.isnan(value), f"{name} is NaN"


def check_batches(case: MetricCase) -> None:
    """Three batches of one sample give what one batch of three gives."""
    samples = case.predictions
    together, alone = case.values([samples]), case.values([[sample] for sample in samples])
    assert together.keys() == alone.keys(), f"it reports {sorted(together)} and {sorted(alone)}"
    apart = [name for name in together if not math.isclose(together[name], alone[name], rel_tol=1e-5, abs_tol=1e-6)]
    assert not apart, (
        f"{apart[0]} is {together[apart[0]]} for one batch of three and {alone[apart[0]]} for three of one"
    )


def check_samples_untouched(case: MetricCase) -> None:
    """The predicted samples are not edited: other metrics read them too."""
    samples, metric = copy.deepcopy(case.predictions), case.build()
    before = pickle.dumps(samples)
    metric.process({}, samples)
    assert pickle.dumps(samples) == before, "it edits the samples"


def check_rows_travel(case: MetricCase) -> None:
    """What it collects can be pickled, as it is when several processes evaluate."""
    metric = case.build()
    metric.process({}, copy.deepcopy(case.predictions))
    pickle.loads(pickle.dumps(metric.results))


def check_reads(case: MetricCase) -> None:
    """Of the predictions it reads those that it declares, if it declares any: no others are computed for it."""
    wanted = wanted_fields([case.build()], (), None)
    declared, every = case.values([case.predicted(wanted)]), case.values([case.predictions])
    assert declared == every, (
        f"it reports {declared} where only what it declares is predicted ({', '.join(sorted(wanted or ()))}), and "
        f"{every} otherwise; name all that row() reads in reads, or in also_reads"
    )


def check_lines(case: MetricCase) -> None:
    """What a samples file says of each sample is JSON, names the sample, and does not depend on the batches."""
    together, alone = case.lines([case.predictions]), case.lines([[sample] for sample in case.predictions])
    assert len(together) == len(alone), f"{len(together)} lines of one batch of three, {len(alone)} of three of one"
    ids = [(line.get("id"), line.get("kind")) for line in together]
    assert ids == [(line.get("id"), line.get("kind")) for line in alone], "ids and kinds depend on the batches"
    assert None not in [part for pair in ids for part in pair], "a line has no id or no kind"
    assert len(set(ids)) == len(ids), "two lines have one id and one kind"
    json.dumps(together, allow_nan=True)


_CHECKS = (check_values, check_batches, check_samples_untouched, check_rows_travel, check_reads, check_lines)
