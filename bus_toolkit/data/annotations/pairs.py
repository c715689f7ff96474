"""Files of image-text pairs: CSV, TSV, a JSON list, JSON lines."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.errors import DataError

IMAGE_KEYS = ("image", "file", "filename", "filepath", "img_path")
TEXT_KEYS = ("caption", "text", "title")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = (".json", ".jsonl", ".ndjson")
# csv refuses longer fields by a limit of its own, 128 kB; no caption is longer than this.
_LONGEST_FIELD = 1 << 24


@dataclass(frozen=True, slots=True)
class PairRecord:
    """A pair as it is in a file; ``place`` is the line, or the entry of a list. Nothing is checked yet."""

    image: object
    text: object
    place: str


def read_pairs(path: Path, image_key: str | None, text_key: str | None, location: str) -> list[PairRecord]:
    """Return the pairs of a file in its order, one for each caption of a record.

    Args:
        path: ``.csv`` or ``.tsv`` with a header, ``.json`` with a list of records, ``.jsonl`` or ``.ndjson``.
        image_key: Column or key of the image; ``None`` for the first of ``IMAGE_KEYS`` that is there.
        text_key: The same of the caption, of ``TEXT_KEYS``; in JSON it may hold a list of captions.
        location: Setting that names the file, for messages.

    Raises:
        DataError: The file cannot be read, is no UTF-8, of another kind or damaged, or has no column.
    """
    kind = path.suffix.lower()
    if kind not in (*_DELIMITERS, *_JSON):
        raise DataError(f"{location}: must be a {', '.join((*_DELIMITERS, *_JSON))} file, got {path}. Convert it.")
    content = _read_text(path, location)
    records = (
        _table(content, _DELIMITERS[kind], path, location) if kind in _DELIMITERS else _json(content, path, location)
    )
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


def part_of(records: Sequence[PairRecord], split: str, val_share: float, name: str) -> list[PairRecord]:
    """Return the pairs whose images belong to a part; pairs without an image stay in ``train``.

    Images are ordered by a hash of their paths and the first ``val_share`` of them are ``val`` (our choice), so that
    the parts do not depend on the order of the rows and change little when rows are added.

    Args:
        records: All pairs of a file.
        split: ``train`` or ``val``.
        val_share: Share of the images in ``val``.
        name: Name of the data set, for messages.

    Raises:
        DataError: Another split or share, or fewer than two images.
    """
    if split not in ("train", "val"):
        raise DataError(f"{name}.split: must be train or val, got {split!r}.")
    if not 0 < val_share < 1:
        raise DataError(f"{name}.val_share: must be between 0 and 1, got {val_share}.")
    images = {record.image for record in records if isinstance(record.image, str)}
    if len(images) < 2:
        raise DataError(f"{name}.split: needs at least 2 images, got {len(images)}. Leave split out.")
    ordered = sorted(images, key=lambda image: (zlib.crc32(image.encode("utf-8", "surrogatepass")), image))
    count = min(max(1, round(val_share * len(images))), len(images) - 1)
    val = set(ordered[:count])
    return [record for record in records if (record.image in val) == (split == "val")]


def _read_text(path: Path, location: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{location}: {path} cannot be read: {error.strerror}. Correct the path.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{location}: {path}, line {line}: is not UTF-8 (byte {content[error.start]:#04x}). "
            "Convert the file, e.g. iconv -f latin1 -t utf-8."
        ) from error


def _table(content: str, delimiter: str, path: Path, location: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    limit = csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{location}: {path}, line {reader.line_num}: {len(row)} fields, the header has {len(header)}: "
                    f"{', '.join(header)}. Put quotes round captions that contain {delimiter!r}."
                )
            yield f"line {reader.line_num}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{location}: {path}, line {reader.line_num}: {error}. Check the quotes of that line."
        ) from error
    finally:
        csv.field_size_limit(limit)


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
        lines = enumerate(content.split("\n"), start=1)
        entries = [(f"line {n}", _parse(line, f"{location}: {path}, line {n}")) for n, line in lines if line.strip()]
    for place, entry in entries:
        if not isinstance(entry, dict):
            raise DataError(
                f"{location}: {path}, {place}: must be a mapping, got {str(entry)[:80]!r}. Correct the record."
            )
        yield place, entry


def _parse(text: str, location: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{location}: is not JSON: {error}. Write or copy the file again.") from error


def _value(record: Mapping[str, Any], key: str | None, defaults: tuple[str, ...], location: str, setting: str) -> Any:
    for name in defaults if key is None else (key,):
        if name in record:
            return record[name]
    wanted = f"none of {', '.join(defaults)}" if key is None else f"no {key!r}"
    raise DataError(f"{location}: has {wanted}, got {', '.join(map(str, record))}. Set {setting} to one of these.")
