"""Apostrophes and quotation marks within the tokens of a text: inside of a word, at its end, or round several."""

from __future__ import annotations

from collections.abc import Sequence

_APOSTROPHES = ("'", "\u2019")
_CLITICS = frozenset(("s", "t", "d", "m", "re", "ve", "ll"))
# Letters before an apostrophe inside of a word: o'clock, d'or, l'eau, y'all.
_ELIDED = frozenset(("o", "d", "l", "y"))


def quotation_marks(words: Sequence[str]) -> dict[int, tuple[bool, bool]]:
    """Return for the place of each apostrophe and straight quotation mark whether spaces are before and after it.

    Args:
        words: Words and single marks of a text.
    """
    places = [place for place, word in enumerate(words) if word == '"' or word in _APOSTROPHES]
    spaces = {place: (False, False) for place in places if _is_inside_word(words, place)}
    for mark in ('"', *_APOSTROPHES):
        left = [place for place in places if words[place] == mark and place not in spaces]
        spaces |= {place: (False, True) for place in left if _is_measure(words, place)}
        spaces |= {place: (True, False) for place in left if place not in spaces and _is_decade(words, place)}
        left = [place for place in left if place not in spaces]
        possessive = next((place for place in left if _is_plural_possessive(words, place)), None)
        if len(left) % 2 and possessive is not None:
            spaces[possessive] = (False, True)
            left.remove(possessive)
        # Quotations come in pairs. Of an odd number one is a possessive (dogs' bowls); else the last means inches.
        for number, place in enumerate(left):
            opens = number % 2 == 0 and (number + 1 < len(left) or not _is_word(words, place - 1))
            spaces[place] = (opens, not opens)
    return spaces


def _is_inside_word(words: Sequence[str], place: int) -> bool:
    if words[place] == '"' or not _is_word(words, place - 1) or not _is_word(words, place + 1):
        return False
    before, after = words[place - 1], words[place + 1]
    return after in _CLITICS or before in _ELIDED or (before[0].isdigit() and after[0].isdigit())


def _is_measure(words: Sequence[str], place: int) -> bool:
    """Return whether it means inches after feet: 6'2"."""
    size = "".join(words[max(place - 3, 0) : place])
    return words[place] == '"' and size[-1:].isdigit() and any(mark in size for mark in _APOSTROPHES)


def _is_plural_possessive(words: Sequence[str], place: int) -> bool:
    """Return whether it may be that of "dogs' bowls"."""
    return words[place] != '"' and place > 0 and words[place - 1][-1:] in "sS" and _is_word(words, place + 1)


def _is_decade(words: Sequence[str], place: int) -> bool:
    """Return whether it replaces the century: '90s."""
    after = words[place + 1] if place + 1 < len(words) else ""
    return words[place] != '"' and len(after) == 3 and after[:2].isdigit() and after[2] in "sS"


def _is_word(words: Sequence[str], place: int) -> bool:
    return 0 <= place < len(words) and words[place][:1].isalnum()
