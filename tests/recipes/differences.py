"""Compare a resolved config with the values of its sources."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from tests.recipes import resolved, sourced

# Options that are still to come into the recipes.
LATER = ("mlm.whole_word", "mlm.distill")
# Recipe, and the table of its sources.
PAIRS = {
    "albef/albef_base_4m": "albef_pretrain",
    "elip/elip_albef_base_4m": "elip_albef_pretrain",
    "elip/elip_blip_base_4m": "elip_blip_pretrain",
    "elip/elip_meter_base_4m": "elip_meter_pretrain",
    "bus/bus_base_4m": "mplug_base_pretrain",
    "copa/copa_base_4m": "mplug_base_pretrain",
    "trips/trips_base_4m": "trips_base_pretrain",
    "neighbours/pumer_vilt": "vilt_pretrain",
}


@cache
def ours() -> Mapping[str, Any]:
    """Return ``ours.yaml``: ``no_setting``, name to reason, and ``recipes``, recipe to name to value and reason."""
    return yaml.safe_load((Path(__file__).parent / "ours.yaml").read_text(encoding="utf-8"))


def ours_of(recipe: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the values of a recipe that differ from its source on purpose, by name."""
    own = ours()
    return {**own["everywhere"], **(own["recipes"].get(recipe) or {})}


def differences(recipe: str, config: Config) -> Iterator[str]:
    """Yield each sourced value that the config neither has nor replaces by a value with a reason."""
    deviations = ours_of(recipe)
    for value in sourced.recipes()[PAIRS[recipe]].values.values():
        if value.name in ours()["no_setting"] or value.name.startswith(LATER):
            continue
        if value.name not in resolved.READERS:
            yield f"{value.name}: nothing reads it; add a reader, or a reason under no_setting"
            continue
        own = resolved.read(value.name, config)
        if is_same(own, value.value):
            continue
        stated = deviations.get(value.name)
        if stated is None or not is_same(own, stated["value"]):
            listed = "" if stated is None else f", ours.yaml says {stated['value']}"
            yield f"{value.name}: {own}, the source {value.value} ({value.source}){listed}"


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, numbers to 1e-6 of their size."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    return one == other
