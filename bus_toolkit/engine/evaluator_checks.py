"""Metrics of a config that its model cannot be measured by."""

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
