"""Openclipart: public-domain drawings with the titles that people gave them, from Debian's packages, as tar shards."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from bus_toolkit.data.preparation.clipart_images import shrink_on_white
from bus_toolkit.data.preparation.clipart_pairs import ClipartPair, clean_pairs, count_sources, split_pairs
from bus_toolkit.data.preparation.clipart_texts import choose_texts
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.deb_files import unpack_deb
from bus_toolkit.data.preparation.prepared_folder import prepare_folder, sha256_of
from bus_toolkit.data.preparation.svg_metadata import SvgMetadata, read_svg_metadata
from bus_toolkit.data.shards.shard_sources import SourceSample
from bus_toolkit.data.shards.write_shards import write_shards
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import dump_json

PACKAGES = ("openclipart-svg", "openclipart-png")
HOW_TO_GET = (
    "Fetch Debian's packages (156 MB, public domain) into a folder: apt-get download openclipart-svg openclipart-png; "
    "then give that folder, no root needed. Or install them and give /usr/share/openclipart."
)
COUNTS = (
    # Files of release 1:0.18+dfsg-19, counted by us; links to other files are not counted.
    Count("SVG files", 7458, sure=False),
    Count("PNG files", 6900, sure=False),
)
# Raise it when the same packages give other pairs: old folders are then written again.
_VERSION = 1
_BELOW = "usr/share/openclipart"


def prepare_openclipart(
    source: Path,
    out: Path,
    *,
    longest_side: int = 256,
    titles_only: bool = False,
    num_test: int = 500,
    num_val: int = 200,
    force: bool = False,
) -> tuple[dict[str, Any], bool]:
    """Write ``out/{train,val,test}/*.tar`` and ``out/manifest.json``; return the manifest and whether it is new.

    The JSON of a sample has ``caption``, ``image_id``, and for other uses ``path``, ``text_source`` (``title`` or
    ``name``), ``title`` as it is in the file, ``description`` and ``tags``.

    Args:
        source: Folder with the two ``.deb`` files, or with the folders ``svg`` and ``png`` of the packages.
        out: Folder to write.
        longest_side: Pixels of the longer side at most.
        titles_only: Leave out pictures whose title names a collection; otherwise the words of their file name are used.
        num_test: Pairs held out for the test.
        num_val: Pairs held out for validation.
        force: Overwrite whatever is there.

    Raises:
        DataError: The packages are not there or damaged, too few pairs are left, or ``out`` cannot be written.
    """
    settings = {
        "data_set": "openclipart",
        "version": _VERSION,
        "source": _describe_source(source),
        "longest_side": longest_side,
        "titles_only": titles_only,
        "num_test": num_test,
        "num_val": num_val,
    }

    def fill(scratch: Path) -> Mapping[str, Any]:
        with _opened(source) as root, tempfile.TemporaryDirectory(prefix="images-", dir=scratch) as images:
            return _write_all(root, scratch, Path(images), longest_side, titles_only, num_test, num_val)

    return prepare_folder(out, settings, fill, force=force)


def _write_all(
    root: Path, scratch: Path, images: Path, longest_side: int, titles_only: bool, num_test: int, num_val: int
) -> dict[str, Any]:
    data, unreadable = _read_metadata(root / "svg")
    texts = choose_texts(data)
    clean = clean_pairs(texts, _file_digests(root / "png", texts), titles_only=titles_only)
    # Files that differ may show the same pixels, which only decoding shows.
    kept = {pair.path: texts[pair.path] for pair in clean.pairs}
    small = clean_pairs(kept, _shrink_images(root / "png", kept, images, longest_side), titles_only=titles_only)
    try:
        splits = split_pairs(small.pairs, num_test=num_test, num_val=num_val)
    except ValueError as error:
        raise DataError(f"openclipart: {error}. Check that both packages are whole, or hold out fewer.") from error
    for split, pairs in splits.items():
        write_shards((_sample(pair, data[pair.path], images) for pair in pairs), scratch / split)
    return {
        "SVG files": _count_files(root / "svg", "svg"),
        "PNG files": _count_files(root / "png", "png"),
        "SVG paths, links included": len(data) + unreadable,
        "SVG unreadable, or with entities": unreadable,
        "without a text": len(data) - len(texts),
        **{f"left out: {reason}": count for reason, count in sorted((clean.left_out + small.left_out).items())},
        **dict(count_sources(splits)),
    }


def _read_metadata(folder: Path) -> tuple[dict[str, SvgMetadata], int]:
    metadata, unreadable = {}, 0
    for path in sorted(folder.rglob("*.svg")):
        try:
            metadata[path.relative_to(folder).with_suffix("").as_posix()] = read_svg_metadata(path.read_bytes())
        except (OSError, ValueError):
            unreadable += 1
    return metadata, unreadable


def _file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    digests = {name: sha256_of(folder / f"{name}.png") for name in names}
    return {name: digest for name, digest in digests.items() if digest is not None}


def _shrink_images(folder: Path, names: Iterable[str], out: Path, longest_side: int) -> dict[str, str]:
    """Write the small picture of each name that has one; return name to checksum of its pixels."""
    checksums = {}
    for name in names:
        try:
            image = shrink_on_white((folder / f"{name}.png").read_bytes(), longest_side)
        except OSError:
            continue
        checksums[name] = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        path = _image_path(out, name)
        path.write_bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes())
    return checksums


def _image_path(images: Path, name: str) -> Path:
    return images / f"{hashlib.sha256(name.encode()).hexdigest()}.png"


def _sample(pair: ClipartPair, data: SvgMetadata, images: Path) -> SourceSample:
    record = {
        "caption": pair.text,
        # Below the limit of shards' ids, 2^40.
        "image_id": int(pair.pixels[:9], 16),
        "path": pair.path,
        "text_source": pair.source,
        "title": data.title,
        "description": data.description,
        "tags": data.tags,
    }
    return SourceSample(_image_path(images, pair.path), {"json": dump_json(record).encode()})


def _count_files(folder: Path, kind: str) -> int:
    return sum(path.is_file() and not path.is_symlink() for path in folder.rglob(f"*.{kind}"))


def _packages(source: Path) -> list[Path]:
    return [path for name in PACKAGES for path in sorted(source.glob(f"{name}_*.deb"))[-1:]]


def _folder(source: Path) -> Path | None:
    places = (source, source / "openclipart", source / _BELOW)
    return next((place for place in places if (place / "svg").is_dir() and (place / "png").is_dir()), None)


def _describe_source(source: Path) -> list[str]:
    """Return marks that distinguish one release from another.

    Raises:
        DataError: There are neither the packages nor their folders.
    """
    if _folder(source) is not None:
        return ["folder"]
    packages = _packages(source)
    if len(packages) != len(PACKAGES):
        missing = [name for name in PACKAGES if not any(path.name.startswith(f"{name}_") for path in packages)]
        raise DataError(
            f"openclipart: {source} has neither the folders svg and png nor the packages; missing: "
            f"{', '.join(missing)}. {HOW_TO_GET}"
        )
    return [path.name for path in packages]


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """Give the folder with ``svg`` and ``png``; packages are unpacked for the time being."""
    folder = _folder(source)
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="openclipart-") as unpacked:
        for package in _packages(source):
            if not unpack_deb(package, Path(unpacked), _BELOW):
                raise DataError(f"{package}: has no files below {_BELOW}. {HOW_TO_GET}")
        yield Path(unpacked) / _BELOW
