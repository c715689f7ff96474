"""Tables of text with a header, CSV and TSV, as spreadsheets and scripts write them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bus_toolkit.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
# csv refuses longer fields by a limit of its own, 128 kB; no caption is longer than this.
_LONGEST_FIELD = 1 << 24


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
    first_line = re.split("[\r\n]", content, maxsplit=1)[0]
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
