"""Files of image-text pairs: CSV, TSV, a JSON list, JSON lines."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import parse_json
from bus_toolkit.tables import DELIMITERS, table_rows
from bus_toolkit.text_files import read_utf8, split_lines

IMAGE_KEYS = ("image", "file", "filename", "filepath", "img_path")
TEXT_KEYS = ("caption", "text", "title")
_MOST = 10  # further lines that a message names
_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class PairRecord:
    """A pair as it is in a file; ``place`` is the line, or the entry of a list. Nothing is checked yet."""

    image: object
    text: object
    place: str


def read_pairs(
    path: Path, image_key: str | None, text_key: str | None, location: str, quoting: str | None = None
) -> list[PairRecord]:
    """Return the pairs of a file in its order, one for each caption of a record.

    Args:
        path: ``.csv`` or ``.tsv`` with a header (:func:`bus_toolkit.tables.table_rows`), ``.json`` with a list of
            records, ``.jsonl`` or ``.ndjson``.
        image_key: Column or key of the image; ``None`` for the first of ``IMAGE_KEYS`` that is there.
        text_key: The same of the caption, of ``TEXT_KEYS``; in JSON it may hold a list of captions.
        location: Setting that names the file, for messages.
        quoting: What quotes mean in a table, as in :func:`bus_toolkit.tables.table_rows`.

    Raises:
        DataError: The file cannot be read, is no UTF-8, of another kind or damaged, or has no column.
    """
    kind = path.suffix.lower()
    if kind not in (*DELIMITERS, *_JSON):
        raise DataError(f"{location}: must be a {', '.join((*DELIMITERS, *_JSON))} file, got {path}. Convert it.")
    content = read_utf8(path, location)
    records = _table(content, path, location, quoting) if kind in DELIMITERS else _json(content, path, location)
    pairs: list[PairRecord] = []
    for place, record in records:
        image = _value(record, image_key, IMAGE_KEYS, f"{location}: {path}, {place}", "image_key")
        texts = _value(record, text_key, TEXT_KEYS, f"{location}: {path}, {place}", "text_key")
        # A record with an empty list stays, as a pair without words: it is a bad sample, not nothing.
        listed = texts if isinstance(texts, list) and texts else [texts]
        pairs.extend(PairRecord(image, text, place) for text in listed)
    if not pairs:
        raise DataError(f"{location}: {path} has no pair. Check that it is the right file.")
    return pairs


def part_of(records: Sequence[PairRecord], split: str, val_share: float, name: str, img_dir: Path) -> list[PairRecord]:
    """Return the pairs whose images belong to a part; pairs without an image stay in ``train``.

    Images are ordered by a hash of their paths and the first ``val_share`` of them are ``val`` (our choice), so that
    the parts do not depend on the order of the rows and change little when rows are added.

    Args:
        records: All pairs of a file.
        split: ``train`` or ``val``.
        val_share: Share of the images in ``val``.
        name: Name of the data set, for messages.
        img_dir: Folder below which relative paths are.

    Raises:
        DataError: Another split or share, or fewer than two images.
    """
    if split not in ("train", "val"):
        raise DataError(f"{name}.split: must be train or val, got {split!r}.")
    if not 0 < val_share < 1:
        raise DataError(f"{name}.val_share: must be between 0 and 1, got {val_share}.")
    names = _one_name_each(records, img_dir)
    images = {image for image in names if image is not None}
    if len(images) < 2:
        raise DataError(f"{name}.split: needs at least 2 images, got {len(images)}. Leave split out.")
    ordered = sorted(images, key=lambda image: (zlib.crc32(image.encode("utf-8", "surrogatepass")), image))
    count = min(max(1, round(val_share * len(images))), len(images) - 1)
    val = set(ordered[:count])
    return [record for image, record in zip(names, records, strict=True) if (image in val) == (split == "val")]


def _one_name_each(records: Sequence[PairRecord], img_dir: Path) -> list[str | None]:
    """Return the name of each record's image: one an image, whether its paths are relative, absolute or with ``~``.

    It is the first in alphabetical order of the ways in which the file writes it, and so follows from the file alone.
    """
    written = [os.path.normpath(record.image) if isinstance(record.image, str) else None for record in records]
    places = [None if path is None else os.path.abspath(img_dir / os.path.expanduser(path)) for path in written]
    names: dict[str | None, str | None] = {}
    for place, path in zip(places, written, strict=True):
        if path is not None:
            names[place] = min(path, names.get(place) or path)
    return [names.get(place) for place in places]


def _table(content: str, path: Path, location: str, quoting: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = table_rows(content, path, location, quoting)
    _, header = next(rows)
    misfits = []
    for number, row in rows:
        if len(row) == len(header):
            yield f"line {number}", dict(zip(header, row, strict=True))
        else:
            misfits.append((number, len(row)))
    if misfits:
        raise DataError(f"{location}: {path}, {_misfit(misfits, header)}")


def _misfit(misfits: Sequence[tuple[int, int]], header: Sequence[str]) -> str:
    """Return the message about lines whose number of fields is not that of the header; the first one in full."""
    (line, fields), others = misfits[0], [str(number) for number, _ in misfits[1:]]
    shown = ", ".join(others[:_MOST]) + (f" and {len(others) - _MOST} more" if len(others) > _MOST else "")
    advice = (
        "Put quotes round captions that contain the separator of the columns."
        if fields > len(header)
        else "Complete the line, or remove it."
    )
    also = f" Other lines: {shown}." if others else ""
    return f"line {line}: {fields} fields, the header has {len(header)}: {', '.join(header)}. {advice}{also}"


def _json(content: str, path: Path, location: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix.lower() == ".json":
        data = _parse(content, f"{location}: {path}")
        if not isinstance(data, list):
            raise DataError(
                f"{location}: {path} must hold a list of records, got {type(data).__name__}. COCO's files are read by "
                "RegionCaptionDataset."
            )
        entries = [(f"entry {number}", entry) for number, entry in enumerate(data)]
    else:
        lines = enumerate(split_lines(content), start=1)
        entries = [(f"line {n}", _parse(line, f"{location}: {path}, line {n}")) for n, line in lines if line.strip()]
    for place, entry in entries:
        if not isinstance(entry, dict):
            raise DataError(
                f"{location}: {path}, {place}: must be a mapping, got {str(entry)[:80]!r}. Correct the record."
            )
        yield place, entry


def _parse(text: str, location: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise DataError(f"{location}: is not JSON: {error}. Write or copy the file again.") from error


def _value(record: Mapping[str, Any], key: str | None, defaults: tuple[str, ...], location: str, setting: str) -> Any:
    for name in defaults if key is None else (key,):
        if name in record:
            return record[name]
    wanted = f"none of {', '.join(defaults)}" if key is None else f"no {key!r}"
    raise DataError(f"{location}: has {wanted}, got {', '.join(map(str, record))}. Set {setting} to one of these.")
