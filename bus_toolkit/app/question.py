"""What the page asks: a line of JSON, then the bytes of an image. Nothing in it names a file.

Our own form, because a form of HTML (multipart) needs a parser of its own, which is where such servers were attacked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bus_toolkit.app.refusals import RequestRefused
from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import describe
from bus_toolkit.json_text import parse_json

MOST_CHARACTERS = 2_000
"""Of a text; a tokenizer reads far fewer."""
MOST_CAPTIONS = 200
MOST_LINE_BYTES = 2 << 20
"""Of the line of JSON: so many captions of so many characters, two bytes each and more."""
_KEYS = frozenset({"text", "keep_ratio", "captions", "gallery"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Question:
    """An image and what is asked about it.

    Attributes:
        image: The bytes of a picture; empty if ``gallery`` names one.
        gallery: The number of an image that the app was started with, from 0.
        text: A caption, question or expression; empty for the pass without text.
        keep_ratio: Of every selector, in (0, 1]; ``None`` is the run's own.
        captions: That are compared with the image.
    """

    image: bytes
    gallery: int | None = None
    text: str = ""
    keep_ratio: float | None = None
    captions: tuple[str, ...] = ()


def parse_question(body: bytes) -> Question:
    """Return what a request asks.

    Raises:
        RequestRefused: It has another form, or a value that cannot be used.
    """
    line, _, image = body.partition(b"\n")
    if len(line) > MOST_LINE_BYTES:
        raise _refused(f"the first line must have at most {MOST_LINE_BYTES} bytes, got {len(line)}")
    try:
        fields = parse_json(line)  # UTF-8, or the error is a ValueError
    except ValueError as error:
        raise _refused("must be a line of JSON and then the bytes of an image, got no JSON") from error
    if not isinstance(fields, dict) or set(fields) - _KEYS:
        raise _refused(f"the JSON must be a mapping with keys of {', '.join(sorted(_KEYS))}, got another")
    gallery, ratio, captions = fields.get("gallery"), fields.get("keep_ratio"), fields.get("captions", [])
    if gallery is not None and (not _is_number(gallery, int) or gallery < 0):
        raise _refused(f"gallery must be the number of an image, got {describe(gallery)}")
    if (gallery is None) == (not image):
        raise _refused("needs one image: choose or drop one, or click one of those below")
    if ratio is not None and (not _is_number(ratio, int | float) or not 0.0 < ratio <= 1.0):
        raise _refused("keep_ratio must be a share in (0, 1], got another value")
    if not isinstance(captions, list) or len(captions) > MOST_CAPTIONS:
        raise _refused(f"captions must be a list of at most {MOST_CAPTIONS}, got {describe(captions)}. Compare fewer")
    lines = [_text(caption, f"captions[{number}]") for number, caption in enumerate(captions)]
    text = _text(fields.get("text", ""), "text")
    return Question(image, gallery, text, ratio, tuple(line for line in lines if line))


def _text(value: Any, name: str) -> str:
    """Return a text in one line, without control characters; empty if nothing in it can be read."""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        got = f"{len(value)}" if isinstance(value, str) else describe(value)
        raise _refused(f"{name} must be a text of at most {MOST_CHARACTERS:,} characters, got {got}. Shorten it")
    if _HALF.search(value):
        raise _refused(f"{name} holds half a character (a lone surrogate). Type it again")
    line = " ".join(_CONTROL.sub(" ", value).split())
    return "" if is_blank(line) else line


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _refused(text: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.BAD_REQUEST, f"The question: {text}.")
