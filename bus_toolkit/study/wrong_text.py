"""The test in which the selectors read the text of another sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.other_texts import check_other_texts
from bus_toolkit.models.build import build_model
from bus_toolkit.registry import METRICS

# The page of the run stays that of the test under the right text.
OVERRIDES: dict[str, Any] = {
    "test_cfg": {"type": "VLPEvalLoop", "selecting_text": "other"},
    "default_hooks.page": None,
}


def check(config: Mapping[str, Any], location: str) -> None:
    """Refuse a wrong text where it changes nothing, before a job is trained for it.

    Raises:
        ConfigError: No part of the model that selects reads the text, or a metric needs the right one.
    """
    nodes = config.get("test_evaluator") or config.get("val_evaluator") or []
    metrics = [METRICS.build(dict(node)) for node in ([nodes] if isinstance(nodes, Mapping) else nodes)]
    with torch.device("meta"):
        model = build_model(config["model"])
    try:
        check_other_texts(model, metrics, (config.get("test_cfg") or {}).get("rerank_topk", 0))
    except ConfigError as error:
        raise ConfigError(
            f"{location}: wrong_text: {error} A study leaves it out of the arm, or sets it to false in the task."
        ) from error
