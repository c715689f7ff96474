"""Addresses of the web and of mail within the tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence

_SCHEMES = frozenset(("http", "https", "ftp"))
_DOMAINS = frozenset("com org net edu gov info io tv co uk us ca de fr it es nl eu ru jp cn in au".split())
# Endings that are English words too start no address: "the dog came. in the house".
_STARTS = _DOMAINS - {"in", "it", "us", "co", "es", "de", "au"}
_FILES = frozenset("html htm php jpg jpeg png gif svg pdf txt".split())
_JOINTS = "-_~=&%#@"


def marks_of_addresses(words: Sequence[str]) -> set[int]:
    """Return the places of the marks that are inside of an address, and so have no space on either side.

    An address is in one piece, so two words next to each other end it; and so does a mark that no address goes on with.

    Args:
        words: Words and single marks of a text.
    """
    inside: set[int] = set()
    place = 0
    while place < len(words):
        if _starts(words, place):
            place = _follow(words, place, inside)
        place += 1
    return inside


def _starts(words: Sequence[str], place: int) -> bool:
    """Return whether the mark at a place is the first one of an address."""
    before, word, after = _around(words, place)
    if not _is_word(before):
        return False
    if word == ":":
        return before in _SCHEMES and after == "/"
    if word == ".":
        return before == "www" or after in _STARTS or _is_mail(words, place)
    return word == "@" and _is_mail(words, place)


def _is_mail(words: Sequence[str], place: int) -> bool:
    """Return whether words and marks go on to an @ with a domain: john.smith@example.com."""
    while place + 1 < len(words) and words[place] in "._-" and _is_word(words[place + 1]):
        place += 2
    return words[place : place + 1] == ["@"] and _is_word("".join(words[place + 1 : place + 2]))


def _follow(words: Sequence[str], place: int, inside: set[int]) -> int:
    """Note the marks of the address from its first one on; return the place of the last."""
    in_path, last = False, place
    inside.add(place)
    while last + 1 < len(words):
        place = last + 1
        if _is_word(words[place]):
            if _is_word(words[last]) or not _goes_on(words, place + 1, in_path):
                return last
            place += 1
        elif words[place] != "/":
            return last
        in_path = in_path or (words[place] == "/" and words[place - 1] not in (":", "/"))
        inside.add(place)
        last = place
    return last


def _goes_on(words: Sequence[str], place: int, in_path: bool) -> bool:
    """Return whether an address goes on with the mark at a place."""
    before, word, after = _around(words, place)
    if word == ".":
        known = _DOMAINS | _FILES if in_path else _DOMAINS
        return after in known or (_is_word(after) and not in_path and before not in _DOMAINS)
    if word == "?":
        return "".join(words[place + 2 : place + 3]) == "="
    if word == ":":
        return after.isdigit() or (before in _SCHEMES and after == "/")
    return word == "/" or (word in _JOINTS and _is_word(after)) if word else False


def _around(words: Sequence[str], place: int) -> tuple[str, str, str]:
    before, word, after = (words[p] if 0 <= p < len(words) else "" for p in (place - 1, place, place + 1))
    return before, word, after


def _is_word(word: str) -> bool:
    return word[:1].isalnum()
