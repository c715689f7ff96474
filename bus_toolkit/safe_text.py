"""Text of others on a screen, in a log, a picture or a page: characters that steer those are shown as escapes.

A file name, a caption or a key of a YAML may hold ESC, by which a terminal is recoloured, retitled or made to hide
lines; a line end, by which a name forges a line of a log; or marks of writing direction, which show a text in another
order than it has (https://trojansource.codes). Letters of all scripts stay as they are, and so do the joiners that
Persian, Indic scripts and pictures of several characters need (U+200C, U+200D).
"""

from __future__ import annotations

import json
import logging
import re

from typing_extensions import override

# Control characters (Cc), halves of characters (Cs), line and paragraph separators (Zl, Zp), and format characters (Cf)
# but for the joiners, soft hyphens and the signs of Arabic and Syriac numbers, which are seen.
_STEERING = (
    "\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_ANYWHERE = re.compile(f"[{_STEERING}]")
_IN_LINES = re.compile(f"(?![\n\t])[{_STEERING}]")


def one_line(text: object) -> str:
    """Return a name or a text of others for a message: in one line, steering characters as Python's escapes."""
    return _ANYWHERE.sub(_escape, str(text))


def safe_lines(text: str) -> str:
    """Return a whole message or page, whose line ends and tabs stay, with the other steering characters as escapes."""
    return _IN_LINES.sub(_escape, text)


def safe_json(text: str) -> str:
    """Return a JSON text with steering characters inside of its texts as JSON's escapes; it means the same."""
    return _IN_LINES.sub(lambda match: json.dumps(match.group())[1:-1], text)


class SafeFormatter(logging.Formatter):
    """The format of another formatter, with steering characters as escapes.

    Args:
        inner: What lays a record out; it must add no colours.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return safe_lines(self.inner.format(record))


def _escape(match: re.Match[str]) -> str:
    return ascii(match.group())[1:-1]
