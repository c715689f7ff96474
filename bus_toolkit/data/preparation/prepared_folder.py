"""A folder that a preparation writes: complete or absent, with a manifest of its sources and checksums."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.data.whole_folder import whole_folder
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import dump_json

MANIFEST = "manifest.json"


def prepare_folder(
    folder: Path, made_from: Mapping[str, Any], fill: Callable[[Path], Mapping[str, Any]], *, force: bool = False
) -> tuple[dict[str, Any], bool]:
    """Return the manifest of ``folder``, and whether it was written now.

    A folder whose manifest says the same ``made_from`` and whose files have its checksums is left alone. Otherwise
    ``fill`` writes into a folder beside it, which then takes its place.

    Args:
        folder: What is prepared.
        made_from: What determines the content; JSON.
        fill: Writes the files into the folder that it is given and returns the counts, which go into the manifest.
        force: Overwrite whatever is there.

    Raises:
        DataError: The folder holds something that no preparation wrote, or cannot be written.
    """
    wanted = json.loads(json.dumps(made_from))
    if folder.exists():
        manifest = read_manifest(folder)
        if not force and manifest["made_from"] == wanted and not damaged_files(folder, manifest):
            return manifest, False
    try:
        return _write(folder, wanted, fill), True
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error}. Choose a folder with room that you may write to."
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest that ``prepare_folder`` wrote.

    Raises:
        DataError: There is no readable manifest.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {key: manifest[key] for key in ("made_from", "counts", "files")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: exists but has no readable {MANIFEST}, so no preparation wrote it. "
            "Choose another folder to write to, or remove this one."
        ) from error


def damaged_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return the files of a manifest that are missing or have another checksum."""
    return [name for name, digest in manifest["files"].items() if sha256_of(folder / name) != digest]


def sha256_of(path: Path) -> str | None:
    """Return the checksum of a file; ``None`` where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _write(folder: Path, made_from: dict[str, Any], fill: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    with whole_folder(folder) as scratch:
        counts = dict(fill(scratch))
        names = sorted(_written(scratch))
        manifest = {"made_from": made_from, "counts": counts, "files": {n: sha256_of(scratch / n) for n in names}}
        (scratch / MANIFEST).write_text(dump_json(manifest, indent=1), encoding="utf-8")
    return manifest


def _written(folder: Path) -> Iterator[str]:
    """Yield the files; links lead to the source, of which size and time are in ``made_from``."""
    for place, _, names in os.walk(folder):
        yield from (str((Path(place) / n).relative_to(folder)) for n in names if not (Path(place) / n).is_symlink())
