"""Metrics of a config: those that its model cannot be measured by, and how those of others collect their results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.wanted_fields import unread_problems
from bus_toolkit.models.causal.vlm import CausalVLM
from bus_toolkit.models.predictions import PATCH_FIELDS
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.ops.collective import world_size


def collect_over_group(metrics: Iterable[Any]) -> None:
    """Let the metrics of several processes bring their results together through the process group.

    By default MMEngine's write pickles into ``.dist_test`` in the present folder. Machines that do not share it, or
    ranks in different folders, then end with a missing file on rank 0, while the others wait for it. A metric with a
    ``collect_dir`` of its own is left alone.
    """
    if world_size() == 1:
        return
    for metric in metrics:
        if getattr(metric, "collect_device", None) == "cpu" and getattr(metric, "collect_dir", None) is None:
            metric.collect_device = "gpu"  # MMEngine's word for the process group, of any backend


def check_metrics(loop: Any, model: nn.Module, path: str) -> None:
    """Refuse metrics that read what no head of the model predicts.

    Args:
        loop: A built evaluation loop.
        model: The bare model; of one that is neither a ``VLPModel`` nor a ``CausalVLM`` nothing is known.
        path: The YAML path of the evaluator.

    Raises:
        ConfigError: There are such metrics.
    """
    if isinstance(model, VLPModel):
        predicting: Iterable[Any] = model.heads.values()
    elif isinstance(model, CausalVLM):
        predicting = model.tasks.values()
    else:
        return
    problems = unread_problems(loop.evaluator.metrics, predicting, (*getattr(loop, "gives", ()), *PATCH_FIELDS))
    named = [replace(problem, path=f"{path}.{problem.path}") for problem in problems]
    if named:
        raise ConfigError(named)
