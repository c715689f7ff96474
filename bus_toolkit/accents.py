"""Accents, which vocabularies without them cannot write."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f]")


def without_accents(text: str) -> str:
    """Return a text without the accents of its letters ("café" is "cafe"); other marks stay, such as vowel signs.

    The most used vocabularies, such as that of BERT-base uncased, have plain letters alone.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
