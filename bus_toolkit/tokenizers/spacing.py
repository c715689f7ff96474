"""Where the spaces of a written text go: tokens say which words and marks follow each other, and not what is between.

English rules (ours). They join what captions and answers mostly join: "10:30", "men's", "3.5", "t-shirt", "$5", "50%",
"black/white", "u.s.", addresses. Where two texts have the same tokens, the rarer one is lost: a dash between two words
is taken for a hyphen, and "a dog - a cat" becomes "a dog-a cat".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bus_toolkit.tokenizers.addresses import marks_of_addresses
from bus_toolkit.tokenizers.quotations import quotation_marks

_CLOSING = ".,!?;:)]}\u2026\u201d\u3002\u3001\uff0c\uff01\uff1f\uff1a\uff1b\uff09\u300d\u300f\u3011"
_OPENING = "[{\u201c\u2018\u00bf\u00a1\uff08\u300c\u300e\u3010"
# After a hyphen that waits for its word: two- and three-story.
_JOINING = frozenset(("and", "or", "to"))


class Spaces(NamedTuple):
    """Whether a space may be before a word or mark, and after it; one is where both neighbours allow it."""

    before: bool
    after: bool


APART, OF_WORD_BEFORE, OF_WORD_AFTER, INNER = (
    Spaces(True, True),
    Spaces(False, True),
    Spaces(True, False),
    Spaces(False, False),
)


class Place(NamedTuple):
    """A mark with the words before and after it, two of each; empty where there are none."""

    second_before: str
    before: str
    word: str
    after: str
    second_after: str


def join_words(words: Sequence[str]) -> str:
    """Return words and single marks as a text, with spaces where English has them."""
    addresses, quotations = marks_of_addresses(words), quotation_marks(words)
    padded = ["", "", *words, "", ""]
    parts: list[str] = []
    space = False
    for place, word in enumerate(words):
        if place in addresses:
            spaces = INNER
        elif place in quotations:
            spaces = Spaces(*quotations[place])
        else:
            spaces = _spaces(Place(*padded[place : place + 5]))
        parts += [" ", word] if space and spaces.before else [word]
        space = spaces.after
    return "".join(parts)


def _spaces(at: Place) -> Spaces:
    if is_word(at.word):
        return Spaces(True, not _is_run_of_ideographs(at.word, at.after))
    rule = _RULES.get(at.word)
    return APART if rule is None else rule(at)


def _point(at: Place) -> Spaces:
    if is_number(at.after) and at.before in ("", "$", "\u00a3", "\u20ac"):
        return INNER  # .5, $.50
    decimal = is_number(at.before) and is_number(at.after)
    # Letters with points: u.s., a.m.; a lone "a" or "i" after a point starts a sentence.
    initials = len(at.before) == len(at.after) == 1 and at.before.isalpha() and at.after.isalpha()
    initials = initials and (at.after not in ("a", "i") or at.second_after == ".")
    return INNER if decimal or initials else OF_WORD_BEFORE


def _comma(at: Place) -> Spaces:
    thousands = at.before.isdigit() and len(at.before) <= 3 and at.after.isdigit() and len(at.after) == 3
    return INNER if thousands else OF_WORD_BEFORE


def _colon(at: Place) -> Spaces:
    return INNER if is_number(at.before) and is_number(at.after) else OF_WORD_BEFORE


def _hyphen(at: Place) -> Spaces:
    if "-" in (at.before, at.after):  # a dash of several
        return Spaces(at.before != "-", at.after != "-")
    if is_word(at.before) and is_word(at.after):
        waits = at.after in _JOINING and "-" not in (at.second_before, at.second_after)
        return OF_WORD_BEFORE if waits else INNER
    if _is_grade(at):
        return OF_WORD_BEFORE
    return OF_WORD_AFTER if is_number(at.after) else APART


def _money(at: Place) -> Spaces:
    if is_number(at.after) or (at.after == "." and is_number(at.second_after)):
        return OF_WORD_AFTER
    return OF_WORD_BEFORE if is_number(at.before) else APART


def _percent(at: Place) -> Spaces:
    return OF_WORD_BEFORE if is_number(at.before) else APART


def _degree(at: Place) -> Spaces:
    return Spaces(not is_number(at.before), at.after.lower() not in ("c", "f"))


def _plus(at: Place) -> Spaces:
    if _is_grade(at) or at.before == "+":
        return OF_WORD_BEFORE
    if is_number(at.before) == is_number(at.after):
        return APART
    return OF_WORD_BEFORE if is_number(at.before) else OF_WORD_AFTER


def _ampersand(at: Place) -> Spaces:
    short = 0 < len(at.before) <= 2 and 0 < len(at.after) <= 2 and not is_number(at.before)
    return INNER if short else APART  # at&t, b&w


def _number_sign(at: Place) -> Spaces:
    if at.word == "#" and _is_grade(at):
        return OF_WORD_BEFORE
    return OF_WORD_AFTER if is_word(at.after) else APART


def _about(at: Place) -> Spaces:
    return OF_WORD_AFTER if is_number(at.after) else APART


def _parenthesis(at: Place) -> Spaces:
    plural = is_word(at.before) and (at.after, at.second_after) == ("s", ")")
    return INNER if plural else OF_WORD_AFTER  # dog(s)


_RULES: dict[str, Callable[[Place], Spaces]] = {
    **dict.fromkeys(_CLOSING, lambda at: OF_WORD_BEFORE),
    **dict.fromkeys(_OPENING, lambda at: OF_WORD_AFTER),
    **dict.fromkeys("/\\_\u2044", lambda at: INNER),
    **dict.fromkeys("$\u00a3\u20ac\u00a5", _money),
    **dict.fromkeys("#@", _number_sign),
    ".": _point,
    ",": _comma,
    ":": _colon,
    "-": _hyphen,
    "%": _percent,
    "\u00b0": _degree,
    "+": _plus,
    "~": _about,
    "&": _ampersand,
    "(": _parenthesis,
}


def _is_grade(at: Place) -> bool:
    """Return whether a mark belongs to the single letter before it: b-, a+, c++, c#."""
    return len(at.before) == 1 and at.before.isalpha() and (not at.after or at.after == at.word)


def is_word(word: str) -> bool:
    """Return whether it is a word or a number, and not a mark."""
    return word[:1].isalnum()


def is_number(word: str) -> bool:
    """Return whether it starts with a digit."""
    return word[:1].isdigit()


def _is_run_of_ideographs(word: str, after: str) -> bool:
    """Return whether BERT's tokenizer parted the two, which makes each Chinese character a token of its own."""
    pair = (word[-1:], after[:1])
    is_one = any(len(part) == 1 and "\u3400" <= part <= "\u9fff" for part in (word, after))
    return is_one and all("\u3040" <= character <= "\u9fff" for character in pair)
