"""Tables of text with a header, CSV and TSV, as spreadsheets and scripts write them."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError

_log = logging.getLogger(__name__)
DELIMITERS = {".csv": ",", ".tsv": "\t"}
QUOTING = ("csv", "none")
_QUOTES_ARE_TEXT = "Set quoting: none if quotes are text in this file."
# csv refuses longer fields by a limit of its own, 128 kB; no caption is longer than this.
_LONGEST_FIELD = 1 << 24


def table_rows(
    content: str, path: Path, location: str = "", quoting: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the header of a table, then each row that is not empty, with the number of its first line.

    The suffix of ``path`` says what separates the columns. If the header has none of it, a semicolon, tab or comma that
    the header has does (our choice: spreadsheets write semicolons into a .csv under many locales). Spaces after a
    separator and around a column's name are no part of it.

    Args:
        content: The text of the table.
        path: Its file.
        location: Setting that names the file, for messages.
        quoting: ``csv``: a field may be in quotes, with separators, line ends and doubled quotes inside. ``none``:
            quotes are text, each line is a row. ``None`` is ``csv`` with care for quotes that are text: a field that
            seems to have swallowed a row is refused, and a warning counts rows of several lines.

    Raises:
        DataError: A column occurs twice, quotes do not match, or ``quoting`` is something else.
    """
    name = f"{location}: {path}" if location else str(path)
    if quoting not in (None, *QUOTING):
        raise DataError(f"{name}: quoting must be {' or '.join(QUOTING)}, got {quoting!r}. {_QUOTES_ARE_TEXT}")
    first_line = re.split("[\r\n]", content, maxsplit=1)[0]
    usual = DELIMITERS[path.suffix.lower()]
    delimiter = next((mark for mark in (usual, ";", "\t", ",") if mark in first_line), usual)
    lines = io.StringIO(content, newline="")
    limit = csv.field_size_limit(_LONGEST_FIELD)
    rule: Any = csv.QUOTE_NONE if quoting == "none" else csv.QUOTE_MINIMAL
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True, quoting=rule)
    start, long_rows = 1, []
    try:
        header = [column.strip() for column in next(reader, [])]
        if twice := [column for column, count in Counter(header).items() if column and count > 1]:
            raise DataError(f"{name}: the header has the column {twice[0]!r} twice. Rename or remove one of them.")
        yield start, header
        start = reader.line_num + 1
        for row in reader:
            if quoting is None and reader.line_num > start:
                _refuse_swallowed_row(row, delimiter, f"{name}, lines {start} to {reader.line_num}")
                long_rows.append(start)
            if any(field.strip() for field in row):
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{name}, line {start}: {error}. Check the quotes from that line on. {_QUOTES_ARE_TEXT}"
        ) from error
    finally:
        csv.field_size_limit(limit)
    if long_rows:
        _log.warning(
            "%s: rows of several lines, in quotes: %d, the first at line %d. %s Set quoting: csv if these captions do "
            "have line ends.",
            *(name, len(long_rows), long_rows[0], _QUOTES_ARE_TEXT),
        )


def _refuse_swallowed_row(row: list[str], delimiter: str, location: str) -> None:
    """Refuse a field in quotes that holds further rows: its quotes were text, or one of them is missing.

    Its first quote ended a line, its last one began a field, or it holds a field that names an image.
    """
    image = re.compile(rf"\.(?:jpe?g|png|webp|gif|bmp|tiff?) *(?:{delimiter}|[\r\n]|$)", re.IGNORECASE)
    for field in row:
        if not re.search(r"[\r\n]", field):
            continue
        if re.match(r"[\r\n]", field) or field.rstrip(" ").endswith(delimiter) or image.search(field):
            raise DataError(
                f"{location}: the quotes there hold whole rows, {field.strip()[:60]!r}. {_QUOTES_ARE_TEXT} Set "
                "quoting: csv if this is one caption."
            )
