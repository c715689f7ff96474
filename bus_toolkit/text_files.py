"""Files of plain text: in UTF-8, with or without a byte order mark, in lines that end with LF or CRLF."""

from __future__ import annotations

import codecs
from pathlib import Path

from bus_toolkit.errors import DataError


def read_utf8(path: Path, location: str = "", *, advice: str = "Correct the path.") -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark; ends of lines stay as they are.

    Args:
        path: The file.
        location: Setting that names the file, for messages.
        advice: What to do if it cannot be read.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    name = f"{location}: {path}" if location else str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}. {advice}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise DataError(
            f"{name}, line {line}: is not UTF-8 (byte {content[error.start]:#04x}). "
            f"Convert the file, e.g. iconv -f {'utf-16' if is_utf16 else 'latin1'} -t utf-8."
        ) from error


def split_lines(content: str) -> list[str]:
    """Return the lines of a text, without their ends: LF or CRLF, and nothing else.

    ``str.splitlines`` also splits at form feeds, U+0085, U+2028 and other characters that a caption may hold, and would
    make two texts of one.
    """
    lines = content.split("\n")
    if not lines[-1]:
        lines.pop()  # the end of the last line starts no further one
    return [line.removesuffix("\r") for line in lines] if "\r" in content else lines
