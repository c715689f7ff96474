"""The arm that drops nothing and looks at a smaller image of the same scene."""

from __future__ import annotations

from typing import Any

from bus_toolkit.analysis.budget.smaller_image import smaller_image
from bus_toolkit.config.smaller_data import shrink_data
from bus_toolkit.errors import ConfigError
from bus_toolkit.study.counts import Counts, InferenceCounter


def match_image(config: dict[str, Any], target: int, counts: Counts, location: str) -> dict[str, Any]:
    """Return the image size at which the model's cost comes nearest to ``target``, and the pipelines that give it.

    These make the same pictures as before and reduce them (``shrink_data``). A model that costs no more than the target
    at full size keeps it.

    Raises:
        ConfigError: No size fits, or images of a data loader cannot be reduced.
    """
    model = config["model"]
    counter = InferenceCounter(counts, counts.frame(model).max_length)
    if counter.macs(model) <= target:
        return {}
    plan = smaller_image(model, target, counter, nearest=True)
    pipelines, notes = shrink_data(config, counts.frame(plan.model).image_size)
    if notes:
        raise ConfigError(f"{location}: image: smaller: {notes[0]} Leave the arm out, or pack images one by one.")
    return {**plan.changes, **pipelines}
