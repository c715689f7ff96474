"""A text for each clip-art picture: its title where that speaks of the picture, else the words of its file name."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bus_toolkit.data.preparation.svg_metadata import SvgMetadata

MOST_SHARED = 3
"""A title that more pictures have names a collection ("Lemon SVG theme"), unless their file names say the same."""

_AUTHOR = re.compile(r"^clip\s?art by [^-]+ - ", re.IGNORECASE)
_FILE_SUFFIX = re.compile(r"\.(svg|svgz|png|jpe?g|gif|eps|ai|xcf)$", re.IGNORECASE)
_TRAILING_NUMBER = re.compile(r"(?<=[^\W\d_]{3})\d+\b|[\s#-]+\d+$")
_NO_TITLE = re.compile(
    r"@|://|\bHASH\(0x|\bcollection\b|^(untitled|unnamed|no title|title|drawing|image|picture|none|test)\b.{0,3}$",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])")
_FEWEST_LETTERS = 3


@dataclass(frozen=True)
class ClipartText:
    """The text of a picture and where it comes from: ``title`` or ``name`` (of its file)."""

    text: str
    source: str


def choose_texts(pictures: Mapping[str, SvgMetadata]) -> dict[str, ClipartText]:
    """Return the text of each picture that has one; the rules are ours.

    A title speaks of its picture if it is cleaned to something (see ``clean_title``) and either at most
    ``MOST_SHARED`` pictures have it or the picture's file name says all of its words. Otherwise the words of the file
    name are used, without digits and the names of its makers.

    Args:
        pictures: Path of a picture, ``/`` between folders, to its metadata.
    """
    shared = Counter(data.title for data in pictures.values())
    texts = {}
    for path, data in pictures.items():
        name = name_words(path, data.creators)
        title = clean_title(data.title)
        if title and (shared[data.title] <= MOST_SHARED or set(_words(title)) <= set(name)):
            texts[path] = ClipartText(title, "title")
        elif any(len(word) >= _FEWEST_LETTERS for word in name):
            texts[path] = ClipartText(" ".join(name), "name")
    return texts


def clean_title(title: str) -> str:
    """Return a title without its author, numbers after words and underscores; empty where it names nothing.

    Nothing is named by "untitled" and its like, "part of a collection", mail and web addresses, names of image files,
    and by fewer than three letters.
    """
    title = _AUTHOR.sub("", unicodedata.normalize("NFC", title)).strip()
    if _NO_TITLE.search(title) or _FILE_SUFFIX.search(title):
        return ""
    title = " ".join(_TRAILING_NUMBER.sub("", title.replace("_", " ")).split()).strip(" -#")
    return title if sum(map(len, _WORDS.findall(title))) >= _FEWEST_LETTERS else ""


def name_words(path: str, creators: list[str]) -> list[str]:
    """Return the words of a file name in lower case; single letters and the start of a maker's name are left out."""
    makers = [word for creator in creators for word in _words(creator)]
    name = _CAMEL.sub(" ", path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    # File names are cut off at a fixed length, so that a maker's name may end early.
    return [
        word
        for word in _words(name)
        if len(word) > 1 and (len(word) < _FEWEST_LETTERS or not any(maker.startswith(word) for maker in makers))
    ]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(unicodedata.normalize("NFC", text))]
