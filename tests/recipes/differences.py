"""Compare a resolved config with the values of its sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from tests.recipes import resolved, sourced
from tests.recipes.task_readers import TASK_READERS

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
def tasks() -> Mapping[str, Any]:
    """Return ``tasks.yaml``: ``pairs`` of the downstream recipes and ``reasons``, by pattern of their names."""
    return yaml.safe_load((Path(__file__).parent / "tasks.yaml").read_text(encoding="utf-8"))


PAIRS.update(tasks()["pairs"])


@cache
def ours() -> Mapping[str, Any]:
    """Return ``ours.yaml``: ``no_setting``, name to reason, and ``recipes``, recipe to name to value and reason."""
    return yaml.safe_load((Path(__file__).parent / "ours.yaml").read_text(encoding="utf-8"))


def ours_of(recipe: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the values of a recipe that differ from its source on purpose, by name."""
    own, found = ours(), {}
    if recipe in tasks()["pairs"]:
        for pattern, reasons in tasks()["reasons"].items():
            found.update(reasons if fnmatch(recipe, pattern) else {})
    return {**own["everywhere"], **found, **(own["recipes"].get(recipe) or {})}


def no_setting(recipe: str) -> Mapping[str, str]:
    """Return the names that no setting of a recipe decides, with the reason."""
    return {**ours()["no_setting"], **(tasks()["no_setting"] if recipe in tasks()["pairs"] else {})}


def reader_of(recipe: str, name: str) -> Callable[[Config], Any] | None:
    """Return what reads a name; of a downstream recipe, ``None`` is the value in a part that is left out."""
    if recipe not in tasks()["pairs"]:
        return resolved.READERS.get(name)
    reader = {**resolved.READERS, **TASK_READERS}.get(name)
    return None if reader is None else _or_none(reader)


def _or_none(reader: Callable[[Config], Any]) -> Callable[[Config], Any]:
    def read(config: Config) -> Any:
        try:
            return reader(config)
        except (AttributeError, TypeError):
            return None

    return read


def differences(recipe: str, config: Config) -> Iterator[str]:
    """Yield each sourced value that the config neither has nor replaces by a value with a reason."""
    deviations = ours_of(recipe)
    for value in sourced.recipes()[PAIRS[recipe]].values.values():
        if value.name in no_setting(recipe):
            continue
        reader = reader_of(recipe, value.name)
        if reader is None:
            yield f"{value.name}: nothing reads it; add a reader, or a reason under no_setting"
            continue
        own = reader(config)
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
