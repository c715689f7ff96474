"""Write ``registry_configs/SOURCES.md`` from the sourced values: ``python -m tests.recipes.page``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.recipes import differences, sourced

PAGE = Path(__file__).parents[2] / "registry_configs" / "SOURCES.md"
TITLES = {
    "albef": "ALBEF",
    "blip": "BLIP",
    "mplug": "mPLUG",
    "elip": "ELIP on ALBEF, BLIP and METER",
    "others": "EViT, ToMe, BUS, COPA, TRIPS, PRIOR, ViLT, PuMer",
}
INTRODUCTION = """\
# What the sources say

Written by `python -m tests.recipes.page` from `tests/recipes/sources/*.yaml`; change those files, not this page.
Every value was typed from a public repository by somebody who had not looked at our recipes. `source` is
`repository:path key`. Where a file of the source and its code disagree, the value is what acts and the note begins
with "trap". What no readable source states is listed as unknown; our recipes mark their figure for it `[our choice]`.
"""


def render() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION, "| repository | commit read |", "| --- | --- |"]
    lines += [f"| {name} | `{commit[:12]}` |" for name, commit in sourced.repositories().items()]
    for stem in sourced.FILES:
        lines += ["", f"## {TITLES[stem]}", *_file(sourced.read_file(stem))]
    lines += ["", "## Where our recipes differ", *_ours()]
    return "\n".join(lines) + "\n"


def _file(content: Mapping[str, Any]) -> Iterator[str]:
    for name, entries in content["groups"].items():
        yield from ("", f"### Shared: `{name}`", "", *_table(entries))
    for name, parts in content["recipes"].items():
        yield from ("", f"### {parts['title']}: `{name}`")
        if parts["include"]:
            yield from ("", "Includes " + ", ".join(f"`{included}`" for included in parts["include"]) + ".")
        if parts.get("drop"):
            yield from ("", "Without " + ", ".join(f"`{dropped}`" for dropped in parts["drop"]) + ".")
        if parts["values"]:
            yield from ("", *_table(parts["values"]))
        if parts.get("unknown"):
            yield ""
            yield from (f"- Unknown: `{entry['name']}`: {entry['reason']}." for entry in parts["unknown"])


def _ours() -> Iterator[str]:
    yield from ("", "A test compares the recipes with the tables above. What differs on purpose:")
    yield from ("", "| recipe | name | ours | source | why |", "| --- | --- | --- | --- | --- |")
    for recipe, table in differences.PAIRS.items():
        values = sourced.recipes()[table].values
        for name, own in differences.ours_of(recipe).items():
            if name in values and not differences.is_same(own["value"], values[name].value):
                stated = (_plain(own["value"]), _plain(values[name].value))
                yield f"| `{recipe}` | `{name}` | {' | '.join(stated)} | {own['why']} |"
    yield from ("", "What no setting of a recipe decides:", "")
    yield from (f"- `{name}`: {why}." for name, why in differences.ours()["no_setting"].items())
    yield from ("", "Nor of a recipe that fine-tunes:", "")
    yield from (f"- `{name}`: {why}." for name, why in differences.tasks()["no_setting"].items())


def _table(entries: list[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("| name | value | source | note |", "| --- | --- | --- | --- |")
    for entry in entries:
        yield f"| `{entry['name']}` | {_plain(entry['value'])} | {entry['source']} | {entry.get('note', '')} |"


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    return f"{value:g}" if isinstance(value, float) and 0 < value < 1e-3 else str(value) or "empty"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
