"""Tables of text with a header, CSV and TSV, as spreadsheets and scripts write them."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bus_toolkit.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
# csv refuses longer fields by a limit of its own, 128 kB; no caption is longer than this.
_LONGEST_FIELD = 1 << 24


def read_utf8(path: Path, location: str = "") -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        location: Setting that names the file, for messages.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    name = f"{location}: {path}" if location else str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}. Correct the path.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise DataError(
            f"{name}, line {line}: is not UTF-8 (byte {content[error.start]:#04x}). "
            f"Convert the file, e.g. iconv -f {'utf-16' if is_utf16 else 'latin1'} -t utf-8."
        ) from error


def table_rows(content: str, path: Path, location: str = "") -> Iterator[tuple[int, list[str]]]:
    """Yield the header of a table, then each row that is not empty, with the number of its first line.

    The suffix of ``path`` says what separates the columns. If the header has none of it, a semicolon, tab or comma that
    the header has does (our choice: spreadsheets write semicolons into a .csv under many locales). Spaces after a
    separator and around a column's name are no part of it.

    Args:
        content: The text of the table.
        path: Its file.
        location: Setting that names the file, for messages.

    Raises:
        DataError: A column occurs twice, or quotes do not match.
    """
    name = f"{location}: {path}" if location else str(path)
    first_line = next(iter(content.splitlines()), "")
    usual = DELIMITERS[path.suffix.lower()]
    delimiter = next((mark for mark in (usual, ";", "\t", ",") if mark in first_line), usual)
    lines = io.StringIO(content, newline="")
    limit = csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    start = 1
    try:
        header = [column.strip() for column in next(reader, [])]
        if twice := [column for column, count in Counter(header).items() if column and count > 1]:
            raise DataError(f"{name}: the header has the column {twice[0]!r} twice. Rename or remove one of them.")
        yield start, header
        start = reader.line_num + 1
        for row in reader:
            if any(field.strip() for field in row):
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}, line {start}: {error}. Check the quotes from that line on.") from error
    finally:
        csv.field_size_limit(limit)
