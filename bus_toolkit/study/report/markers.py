"""The places of a Markdown page that a study fills: between two markers, which are lines of their own.

``<!-- study: NAME -->`` and ``<!-- end of study: NAME -->`` for the section of the study NAME, and the same with
``NAME: TABLE`` for a table of its YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bus_toolkit.errors import DataError
from bus_toolkit.text_files import read_utf8

_MARKER = re.compile(r"^<!-- (?P<end>end of )?study: (?P<name>.+) -->[ \t\r]*$", re.MULTILINE)


def shown_on(page: Path, study: str, blocks: Mapping[str, str]) -> list[str]:
    """Return the names of the blocks for which a page has a place, in its order; "" is the study's section.

    Raises:
        DataError: The page cannot be read, has no place, has one for a block that there is not, has one twice, or a
            marker has no partner.
    """
    return [name for name, _, _ in _places(page, read_utf8(page), study, blocks)]


def filled(page: Path, study: str, blocks: Mapping[str, str]) -> str:
    """Return the text of a page with each block in its place; what is outside of the places stays.

    Raises:
        DataError: As :func:`shown_on`.
    """
    text = read_utf8(page)
    parts, done = [], 0
    for name, start, end in _places(page, text, study, blocks):
        parts += [text[done:start], f"\n\n{blocks[name]}\n\n"]
        done = end
    return "".join([*parts, text[done:]])


def markers(study: str, block: str = "") -> str:
    """Return the two lines of a place as messages name them."""
    name = f"{study}: {block}" if block else study
    return f"<!-- study: {name} --> and <!-- end of study: {name} -->"


def _places(page: Path, text: str, study: str, blocks: Mapping[str, str]) -> Iterator[tuple[str, int, int]]:
    """Yield each block with where its place begins and ends in the text: after one marker, before the other."""
    names = {f"{study}: {block}" if block else study: block for block in blocks}
    opened, start, seen = None, 0, set()
    for marker in _MARKER.finditer(text):
        name = marker["name"]
        if name != study and not name.startswith(f"{study}: "):
            continue
        location = f"{page}, line {text.count(chr(10), 0, marker.start()) + 1}"
        if name not in names:
            known = ", ".join(block for block in blocks if block) or "none"
            raise DataError(
                f"{location}: must be the place of a table of the study (report.tables), got {name!r}. It has {known}. "
                "Change the marker, or take it out."
            )
        block = names[name]
        if not marker["end"] and opened is None and block not in seen:
            opened, start = block, marker.end()
            seen.add(block)
        elif marker["end"] and opened == block:
            yield block, start, marker.start()
            opened = None
        else:
            raise DataError(
                f"{location}: must be one of {markers(study, block)}, once each, in this order and with no other one "
                f"between, got {marker[0].strip()}. Take it out, or add the other one."
            )
    if opened is not None or not seen:
        raise DataError(f"{page}: needs the lines {markers(study, opened or '')}, once each, in this order. Add them.")
