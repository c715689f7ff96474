"""The tables of names, read from their YAML files, and which one a module has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bus_toolkit.errors import CheckpointError
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.weights.layouts import Layout, Setting, Target
from bus_toolkit.weights.mapping import Rule
from bus_toolkit.weights.patterns import matches, pattern

TABLES = Path(__file__).parent / "tables"
AUTO, IDENTITY = "auto", "identity"


@cache
def layouts() -> dict[str, Layout]:
    """Return all known layouts by name."""
    raw = {path.stem: _read(path) for path in sorted(TABLES.glob("*.yaml"))}
    parts = {path.stem: _read(path) for path in sorted((TABLES / "parts").glob("*.yaml"))}
    return {name: _layout(name, {**parts, **raw}) for name in raw}


@cache
def targets() -> dict[str, Target]:
    """Return all known targets by name."""
    raw = {path.stem: _read(path) for path in sorted((TABLES / "targets").glob("*.yaml"))}
    return {name: _target(name, raw) for name in raw}


def get_layout(name: str, location: str) -> Layout:
    """Return the layout of that name.

    Raises:
        CheckpointError: There is none.
    """
    if name not in layouts():
        raise CheckpointError(
            f"{location}: no layout named {name!r}.{did_you_mean(name, layouts())} Known: {AUTO}, {IDENTITY}, "
            f"{', '.join(layouts())}."
        )
    return layouts()[name]


def target_of(names: Iterable[str]) -> Target | None:
    """Return the target whose names a module's are, or ``None``."""
    names = list(names)
    for target in targets().values():
        has_all = all(any(matches(name, (wanted,)) for name in names) for wanted in target.signature)
        if has_all and not any(matches(name, target.absent) for name in names):
            return target
    return None


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _layout(name: str, raw: Mapping[str, dict[str, Any]]) -> Layout:
    own = dict(raw[name])
    last, dropped, fills = list(own.pop("rules")), list(own.pop("dropped", [])), dict(own.pop("fills", {}))
    rules: list[Mapping[str, Any]] = []
    lacking, refused = list(own.pop("lacking", [])), dict(own.pop("refused", {}))
    for part in own.pop("include", []):
        other = raw[part["layout"]]
        before, ahead = part["source"], part["target"]
        for rule in other["rules"]:
            kept = {key: value for key, value in part.items() if key in ("also", "if_there")}
            rules.append({**rule, **kept, "source": _under(before, rule["source"]), "target": ahead + rule["target"]})
        dropped += [before + text for text in other.get("dropped", [])]
        refused |= {before + text: why for text, why in other.get("refused", {}).items()}
        fills |= {ahead + text: value for text, value in other.get("fills", {}).items()}
        lacking += [ahead + text for text in other.get("lacking", [])]
    lists: dict[str, Any] = {key: tuple(own.pop(key, [])) for key in ("signature", "absent", "gives", "notes")}
    return Layout(
        name,
        rules=tuple(map(_rule, [*rules, *last])),
        dropped=tuple(dropped),
        refused=refused,
        fills=fills,
        lacking=tuple(lacking),
        **lists,
        **own,
    )


def _under(before: str, source: Any) -> Any:
    if isinstance(source, list):
        return [None if one is None else before + one for one in source]
    return before + source


def _rule(raw: Mapping[str, Any]) -> Rule:
    sources = raw["source"] if isinstance(raw["source"], list) else [raw["source"]]
    return Rule(
        tuple(None if text is None else pattern(text) for text in sources),
        pattern(raw["target"]),
        raw.get("op", "join" if len(sources) > 1 else "copy"),
        only=raw.get("only"),
        also=raw.get("also", False),
        if_there=pattern(raw["target"] if raw["if_there"] is True else raw["if_there"]) if "if_there" in raw else None,
    )


_INHERITED = ("grids", "relative", "angles", "rows", "words", "optional")
_LISTS = (
    "signature",
    "absent",
    "grids",
    "relative",
    "angles",
    "rows",
    "words",
    "first_layers",
    "optional",
    "parts",
    "derived",
)


def _target(name: str, raw: Mapping[str, dict[str, Any]]) -> Target:
    own = dict(raw[name])
    lists = {key: list(own.get(key, [])) for key in _LISTS}
    sizes, settings = dict(own.get("sizes", {})), dict(own.get("settings", {}))
    for part in own.get("include", []):
        other, under = raw[part["target"]], part["under"]
        for key in _INHERITED:
            lists[key] += [under + text for text in other.get(key, [])]
        for label, size in other.get("sizes", {}).items():
            sizes[f"{part['label']} {label}"] = {k: under + v if k != "dim" else v for k, v in size.items()}
        settings |= {under + text: says for text, says in other.get("settings", {}).items()}
    return Target(
        name,
        sizes=sizes,
        settings={text: Setting(**says) for text, says in settings.items()},
        **{key: tuple(values) for key, values in lists.items()},
    )
