"""Check that the downloads are complete; name each missing file and its origin."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bus_toolkit.data.preparation.recipe import Download, Recipe, Wanted
from bus_toolkit.errors import DataError

_SHOWN = 3


def check_downloads(recipe: Recipe, source: Download, files: Iterable[Wanted]) -> dict[str, list[int]]:
    """Return size and time of the files that are there, for the manifest: another size or time is another source.

    Raises:
        DataError: Files are missing or empty; one line each, with the download that has it.
    """
    if not source.root.is_dir():
        raise DataError(f"{recipe.name}: {source.root} is no folder. Give the folder that {recipe.title} is in.")
    stamps: dict[str, list[int]] = {}
    missing = []
    for wanted in files:
        if wanted.is_folder and source.skip_images:
            continue
        path = source.path(wanted.path)
        if wanted.is_folder:
            if not path.is_dir():
                missing.append(wanted)
            continue
        files_of = sorted(source.root.glob(wanted.path)) if wanted.is_pattern else [path] if path.is_file() else []
        missing += [] if files_of or wanted.optional else [wanted]
        stamps |= {str(file.relative_to(source.root)): _stamp(file, recipe, wanted) for file in files_of}
    if missing:
        lines = [f"{recipe.name}: {source.root} has no {wanted.path}. Get it: {wanted.origin}" for wanted in missing]
        raise DataError("\n".join([*lines, f"{recipe.name}: the page of {recipe.title}: {recipe.page}"]))
    return stamps


def _stamp(file: Path, recipe: Recipe, wanted: Wanted) -> list[int]:
    status = file.stat()
    if not status.st_size:
        raise DataError(f"{recipe.name}: {file} has 0 bytes. Fetch it again: {wanted.origin}")
    return [status.st_size, status.st_mtime_ns]


def check_images(source: Download, folder: str, names: Iterable[str]) -> None:
    """Check that images are there; with ``source.skip_images`` nothing is.

    Args:
        source: The data set.
        folder: Below its root.
        names: Paths below the folder.

    Raises:
        DataError: Some are missing; the message names the first ones.
    """
    if source.skip_images:
        return
    there: dict[str, set[str]] = {}
    wanted = dict.fromkeys(names)
    missing = []
    for name in wanted:
        place, file_name = os.path.split(name)
        # One listing a folder: asking for each of 100,000 files takes minutes on a network disk.
        if place not in there:
            there[place] = _listing(source.path(folder) / place)
        if file_name not in there[place]:
            missing.append(name)
    if missing:
        raise DataError(
            f"{source.name}: {len(missing):,} of {len(wanted):,} images are missing below {source.path(folder)}, e.g. "
            f"{', '.join(missing[:_SHOWN])}. Unpack the images there, or pass --skip-images to convert the texts alone."
        )


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
