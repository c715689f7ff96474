"""The names in a table: text with holes, that matches names and makes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

Bindings = dict[str, str]
_HOLE = re.compile(r"\{(?P<name>\w+)(?:\+(?P<number>\w+))?\}|\[(?P<choice>[^\]]+)\]|(?P<rest>\*)")


class Pattern:
    """A name with holes.

    ``{i}`` is a whole number, ``{i+n}`` one that is larger by the table's number ``n``; ``*`` is any text;
    ``[bert.]`` may be there or not, ``[a.|b.]`` is one of both or nothing. The same number is used for an ``{i}`` at
    every place, each ``*`` for itself. A name made from a pattern has what the matched one had in its brackets, or
    the first choice where nothing was matched.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts, end = [], 0
        for number, hole in enumerate(_HOLE.finditer(text)):
            parts.append(re.escape(text[end : hole.start()]))
            if hole["name"]:
                parts.append(rf"(?P<h{number}>\d+)")
            elif hole["choice"]:
                parts.append(f"(?P<h{number}>{'|'.join(map(re.escape, hole['choice'].split('|')))}|)")
            else:
                parts.append(rf"(?P<h{number}>.+?)")
            end = hole.end()
        self._holes = list(_HOLE.finditer(text))
        stars = iter(("*", "*2", "*3"))
        self._keys = [hole["name"] or hole["choice"] or next(stars) for hole in self._holes]
        self._regex = re.compile("".join(parts) + re.escape(text[end:]))

    def match(self, name: str, numbers: Mapping[str, int]) -> Bindings | None:
        """Return what fills the holes if ``name`` has this form, else ``None``."""
        matched = self._regex.fullmatch(name)
        if matched is None:
            return None
        bindings: Bindings = {}
        for index, hole in enumerate(self._holes):
            value = matched[f"h{index}"]
            if hole["number"]:
                less = int(value) - numbers[hole["number"]]
                if less < 0:
                    return None
                value = str(less)
            if bindings.setdefault(self._keys[index], value) != value:
                return None
        return bindings

    def fill(self, bindings: Mapping[str, str], numbers: Mapping[str, int]) -> str:
        """Return the name with ``bindings`` in its holes."""

        keys = iter(self._keys)

        def filled(hole: re.Match[str]) -> str:
            key = next(keys)
            if hole["choice"]:
                return bindings.get(key, hole["choice"].split("|")[0])
            return str(int(bindings[key]) + numbers[hole["number"]]) if hole["number"] else bindings[key]

        return _HOLE.sub(filled, self.text)


@lru_cache(maxsize=4096)
def pattern(text: str) -> Pattern:
    """Return the pattern written as ``text``."""
    return Pattern(text)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether ``name`` has one of the forms, none of which shifts a number."""
    return any(pattern(text).match(name, {}) is not None for text in patterns)
