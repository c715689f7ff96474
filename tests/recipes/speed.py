"""Count "The papers' speed beside ours" of RESULTS.md: ``python -m tests.recipes.speed`` counts all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bus_toolkit.analysis.meta_macs import MacCounter
from bus_toolkit.config import load_config
from bus_toolkit.registry import plain

RECIPES = Path(__file__).parents[2] / "registry_configs"
PAGE = RECIPES / "RESULTS.md"
SIZES = (256, 384)
TEXT_LENGTH = 25
Work = Literal["pair", "step"]


@dataclass(frozen=True)
class Row:
    """What the page says of a recipe: MACs of its model without reduction over its own, at each of ``SIZES``."""

    recipe: str
    ratios: Mapping[Work, tuple[str, ...]]


def rows() -> list[Row]:
    """Read the rows of the page's table."""
    cells = r"^\| `([\w/]+)` \|[^|]*\| ([\d. /]+) \| ([\d. /]+) \|"
    return [
        Row(recipe, {"pair": tuple(pair.split(" / ")), "step": tuple(step.split(" / "))})
        for recipe, pair, step in re.findall(cells, PAGE.read_text(encoding="utf-8"), re.M)
    ]


def counted(recipe: str, size: int, work: Work) -> str:
    """Count a recipe at an image size in pixels."""
    model = plain(load_config(RECIPES / f"{recipe}.yaml", [f"model.backbone.img_size={size}"]).to_dict())["model"]
    unpruned = {**model, "selectors": [], "decoder": {"type": "Identity"}}
    return f"{_macs(unpruned, work) / _macs(model, work):.2f}"


def _macs(model: Mapping[str, Any], work: Work) -> int:
    counter = MacCounter("step", TEXT_LENGTH) if work == "step" else MacCounter("forward", TEXT_LENGTH, scope="pair")
    return counter.macs(model)


if __name__ == "__main__":
    from bus_toolkit.cli.loading import load_openmmlab

    load_openmmlab()
    for row in rows():
        for work, ratios in row.ratios.items():
            for size, ratio in zip(SIZES, ratios, strict=True):
                count = counted(row.recipe, size, work)
                print(row.recipe, size, work, count, "" if count == ratio else f"(the page says {ratio})", flush=True)
