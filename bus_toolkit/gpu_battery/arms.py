"""What is measured: one model with all its losses, whose selectors and decoder alone differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.analysis.budget.baselines import unselective
from bus_toolkit.config import load_config
from bus_toolkit.registry import plain

BUS, UNPRUNED, RANDOM = "BUS", "unpruned", "random"


@dataclass(frozen=True)
class Size:
    """How large the battery is.

    Attributes:
        config: Of BUS; the other arms are its model with other selectors.
        selectors: Of the arms beside BUS, its unpruned model and a random selection, as in their own recipes.
        batches: Images a step by the side of the images in pixels; halved until the unpruned model fits.
        compiled: The side at which BUS and its unpruned model are measured compiled, too; 0 for none.
        seconds: How long each arm is timed.
        all_parts: Whether every registered part is compared with the CPU, or only those of the arms.
    """

    config: str
    selectors: Mapping[str, Mapping[str, Any]]
    batches: Mapping[int, int]
    compiled: int
    seconds: float
    all_parts: bool


PAPER = Size(
    "bus/bus_base_4m",
    {
        "EViT": {"type": "EViT", "blocks": [4, 7, 10], "keep_ratio": 0.7},
        "ToMe": {"type": "ToMe", "blocks": list(range(1, 13)), "num_merged": 16},
        "ELIP": {"type": "ELIP", "blocks": [3, 5, 11], "look_ahead": [2, 6, 2], "keep_ratio": [0.9, 0.65, 0.4]},
    },
    {256: 64, 384: 32, 512: 16},
    compiled=256,
    seconds=4.0,
    all_parts=True,
)
TOY = Size(
    "bus/bus_scenes_tiny",
    {
        "EViT": {"type": "EViT", "blocks": [3, 5], "keep_ratio": 0.7},
        "ToMe": {"type": "ToMe", "blocks": [2, 3, 4, 5], "num_merged": 8},
        "ELIP": {"type": "ELIP", "blocks": [2, 3, 6], "look_ahead": [1, 3, 1], "keep_ratio": [0.9, 0.65, 0.4]},
    },
    {64: 2},
    compiled=0,
    seconds=0.0,
    all_parts=False,
)


def model_nodes(size: Size, pixels: int) -> dict[str, dict[str, Any]]:
    """Return the ``model`` of each arm by its name, at images of ``pixels`` a side.

    A random selection keeps as many tokens as BUS at the same place, and has its decoder.

    Raises:
        ConfigError: The config cannot be read.
    """
    bus = plain(load_config(size.config, [f"model.backbone.img_size={pixels}"]).to_dict())["model"]
    # Losses of all arms are there from the first step; a queue would only hold features of noise.
    bus["heads"] = {name: {**node, "start_epoch": 0.0} for name, node in bus["heads"].items()}
    nodes = {
        UNPRUNED: {**bus, **unselective(bus)},
        BUS: bus,
        RANDOM: {**bus, "selectors": [_random_twin(one) for one in bus["selectors"]]},
    }
    return nodes | {
        name: {**bus, **unselective(bus), "selectors": [dict(node)]} for name, node in size.selectors.items()
    }


def _random_twin(selector: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "Random", "blocks": selector["blocks"], "keep_ratio": selector["keep_ratio"]}
