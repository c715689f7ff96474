"""Read the values of the published recipes: what each public repository states, and where.

The files in ``sources/`` were typed from the repositories, not from our recipes; their README explains the format.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "sources"
FILES = ("albef", "blip", "mplug", "elip", "others")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the compiled one is ten times faster, where PyYAML has it


@dataclass(frozen=True)
class Value:
    """One value with the place that states it; ``note`` begins with ``trap:`` where a file and its code disagree."""

    name: str
    value: Any
    source: str
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """All values of one published recipe by name, and the reasons for what is unknown."""

    name: str
    title: str
    values: Mapping[str, Value]
    unknown: Mapping[str, str]


@cache
def read_file(stem: str) -> Mapping[str, Any]:
    """Return one file as it is written: ``groups`` (name to entries) and ``recipes`` (name to its parts)."""
    return yaml.load((FOLDER / f"{stem}.yaml").read_text(encoding="utf-8"), Loader=_LOADER)


def repositories() -> dict[str, str]:
    """Return the commit that was read for each repository."""
    return yaml.safe_load((FOLDER / "repositories.yaml").read_text(encoding="utf-8"))


@cache
def recipes() -> Mapping[str, Recipe]:
    """Return every recipe by name, with the entries of its groups and of the recipes that it builds on."""
    files = [read_file(stem) for stem in FILES]
    groups = {name: entries for file in files for name, entries in file["groups"].items()}
    found: dict[str, Recipe] = {}
    for file in files:
        for name, parts in file["recipes"].items():
            found[name] = Recipe(
                name=name,
                title=parts["title"],
                values={value.name: value for value in _flatten(parts, groups, found)},
                unknown={entry["name"]: entry["reason"] for entry in parts.get("unknown", ())},
            )
    return found


def _flatten(parts: Mapping[str, Any], groups: Mapping[str, list], earlier: Mapping[str, Recipe]) -> Iterator[Value]:
    """Yield a recipe's entries in order; of two with one name the later one holds."""
    merged: dict[str, Value] = {}
    for included in parts["include"]:
        if included in groups:
            merged.update((entry["name"], Value(**entry)) for entry in groups[included])
        else:
            merged.update(earlier[included].values)
    merged.update((entry["name"], Value(**entry)) for entry in parts["values"])
    for name in parts.get("drop", ()):
        del merged[name]
    yield from merged.values()
