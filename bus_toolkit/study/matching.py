"""Arms at equal cost: keep ratios and image sizes for the counted MACs of the reference arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.analysis.budget.plan import plan_budget, ratio_changes, ratios_of, with_smallest_ratio
from bus_toolkit.data.datasets.texts_of_image import TextsOfImage
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.registry import SCOPE
from bus_toolkit.study.counts import Counts, InferenceCounter

Node = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """What a job costs.

    Attributes:
        inference: MACs of an answer: one text, one image.
        shared: Those of them that all texts of an image share.
        step: MACs of a training step, a text.
        target: MACs of the reference arm's answer; ``None`` where nothing was matched.
        tokens: Visual tokens after each stage.
        image_size: Height and width in pixels.
    """

    inference: int
    shared: int
    step: int
    target: int | None
    tokens: Mapping[str, int]
    image_size: tuple[int, int]

    @property
    def deviation(self) -> float | None:
        """By which share the cost differs from the target."""
        return None if self.target is None else self.inference / self.target - 1

    @classmethod
    def of(cls, config: Node, counts: Counts, target: int | None) -> Cost:
        """Count the model of a config, its training steps with the texts an image that its batches have."""
        model = config["model"]
        size = counts.frame(model).image_size
        costs = (counts.inference(model), counts.shared(model), counts.step(model, texts_per_image(config)))
        return cls(*costs, target, counts.tokens(model), size)


def texts_per_image(config: Node) -> int:
    """Return how many texts each image of a training batch comes with."""
    node = (config.get("train_dataloader") or {}).get("dataset") or {}
    several = str(node.get("type")).removeprefix(f"{SCOPE}.") == TextsOfImage.__name__
    return int(node["texts_per_image"]) if several else 1


def at_ratio(model: Node, ratio: float, location: str) -> dict[str, Any]:
    """Return the keep ratios of the reference arm, the smallest of which is ``ratio``, by YAML path.

    Raises:
        ConfigError: It has none.
    """
    _need_ratios(model, location)
    return ratio_changes(with_smallest_ratio(model, ratio))


def match_ratio(model: Node, target: int, counts: Counts, location: str) -> dict[str, Any]:
    """Return the keep ratios with which the model's cost comes nearest to ``target``, by YAML path.

    The smallest ratio is a whole number of patches over all patches. At most all and at least one patch is kept, also
    if the target is beyond the cost of that.

    Raises:
        ConfigError: No selector has a ratio.
    """
    _need_ratios(model, location)
    frame = counts.frame(model)
    counter = InferenceCounter(counts, frame.max_length)

    def keeping(kept: int) -> Node:
        return with_smallest_ratio(model, kept / frame.num_patches)

    if counter.macs(keeping(frame.num_patches)) <= target:
        return ratio_changes(keeping(frame.num_patches))
    least = _least(keeping, counter, frame.num_patches)
    kept = least
    if counter.macs(keeping(least)) <= target:
        kept = plan_budget(model, target, counter).kept
    near = [keeping(count) for count in (kept, kept + 1) if least <= count <= frame.num_patches]
    return ratio_changes(min(near, key=lambda one: abs(counter.macs(one) - target)))


def _least(keeping: Any, counter: InferenceCounter, most: int) -> int:
    """Return the fewest patches that all parts accept."""
    for kept in range(1, most):
        try:
            counter.macs(keeping(kept))
        except ComponentError:  # e.g. a summary of more tokens than are left
            continue
        return kept
    return most


def _need_ratios(model: Node, location: str) -> None:
    if not ratios_of(model.get("selectors") or []):
        raise ConfigError(
            f"{location}: match: keep needs a selector with a keep ratio, got {model.get('selectors') or 'none'}. Give "
            "the arm one, or write match: none."
        )
