"""What counts as an empty text: one rule for captions, questions, answers, expressions, statements and typed texts."""

from __future__ import annotations

import unicodedata

# Spaces, marks that combine with a letter before them, control and format characters, and private ones, which have no
# meaning of their own. Characters that this Python does not know (Cn) may be new letters or pictures, and are seen.
_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Mn", "Mc", "Me", "Cc", "Cf", "Co", "Cs"})
# Letters and signs that show nothing: the fillers of Hangul, the blank of Braille, what replaces objects and characters
# that could not be read.
_EMPTY_SIGNS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc\ufffd")


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing to read: no letter, digit, punctuation mark or symbol.

    Zero-width characters (U+200B, U+2060, U+FEFF), soft hyphens and combining marks without a letter show nothing.
    """
    return all(unicodedata.category(character) in _UNSEEN or character in _EMPTY_SIGNS for character in text)
