"""Tables that are there when a data set needs them: made once, by one process of each machine, and made again when a
file that they were made of has changed."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bus_toolkit.data.shards.tar_index import Stamp
from bus_toolkit.data.tables.columns import Columns
from bus_toolkit.data.tables.table import META, DamagedTable, Form, Table
from bus_toolkit.data.whole_folder import whole_folder
from bus_toolkit.errors import DataError
from bus_toolkit.folder_locks import alone_in
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import dump_json
from bus_toolkit.ops.collective import rank
from bus_toolkit.ops.shared_work import for_all_ranks, is_first_of_machine
from bus_toolkit.writing import write_whole

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a table is made.

    Attributes:
        form: What it must be.
        sources: The files that it is made of, by their settings.
        make: Writes its columns.
        settings: What else it depends on; JSON.
    """

    form: Form
    sources: Mapping[str, Path]
    make: Callable[[Columns], None]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, table_dir: str | Path) -> Path:
        """Return the folder of the table; its name distinguishes files of one name."""
        paths = [os.fspath(path.resolve()) for path in self.sources.values()]
        digest = hashlib.sha256(dump_json([paths, dict(self.settings)]).encode("utf-8", "surrogatepass"))
        return (
            expand_home(table_dir)
            / f"{self.form.kind}-{list(self.sources.values())[-1].stem}-{digest.hexdigest()[:12]}"
        )


def ready_table(recipe: Recipe, table_dir: str, location: str) -> Table:
    """Return a table; make it if it is missing, damaged, or of files that have changed since.

    All ranks call this. Rank 0 makes it, then the first rank of each machine that does not see it. It appears whole or
    not at all.

    Args:
        recipe: How.
        table_dir: Folder of tables.
        location: Setting that names the folder, for messages.

    Raises:
        DataError: A file cannot be read or converted, or the folder cannot be written.
    """
    for here in (rank() == 0, rank() != 0 and is_first_of_machine()):
        for_all_ranks(lambda: _make_if_needed(recipe, table_dir, location), here=here)
    folder = recipe.folder(table_dir)
    try:
        return Table(folder, recipe.form)
    except (OSError, DamagedTable) as error:
        raise DataError(f"{location}: {folder} cannot be read: {error}. Remove this folder and start again.") from error


def _make_if_needed(recipe: Recipe, table_dir: str, location: str) -> None:
    stamps = [_stamp(path, setting) for setting, path in recipe.sources.items()]
    folder = recipe.folder(table_dir)
    if _fault(folder, recipe.form, stamps) is None:
        return
    if folder.parent.exists() and not folder.parent.is_dir():
        raise DataError(f"{location}: must be a folder, got the file {table_dir}. Name a folder; a new one is made.")
    try:
        with alone_in(folder.parent):
            fault = _fault(folder, recipe.form, stamps)
            if fault is not None:
                if fault:
                    _log.warning("%s: %s; it is made again", folder, fault)
                _make(recipe, folder, stamps)
    except OSError as error:
        raise DataError(
            f"{location}: {folder} cannot be written: {error.strerror}. Set table_dir to a folder with enough room "
            "that you may write to."
        ) from error


def _fault(folder: Path, form: Form, stamps: Sequence[Mapping[str, int]]) -> str | None:
    """Return why a table cannot be used, empty if there is none; ``None`` if it can."""
    try:
        made_of = Table(folder, form).meta.get("sources")
    except FileNotFoundError:
        return ""
    except DamagedTable as error:
        return f"it is no table ({error})"
    return None if made_of == stamps else "its files have changed"


def _make(recipe: Recipe, folder: Path, stamps: Sequence[Mapping[str, int]]) -> None:
    names = ", ".join(map(str, recipe.sources.values()))
    _log.info("converting %s into %s, once", names, folder)
    start, before = time.monotonic(), _peak()
    with whole_folder(folder) as scratch:
        with Columns(scratch) as columns:
            recipe.make(columns)
        meta = {"version": recipe.form.version, "sources": list(stamps), "files": names}
        write_whole(scratch / META, dump_json(meta))
    seconds, grown = time.monotonic() - start, (_peak() - before) / 1024
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    _log.info("converted %s: %.0f s, %.0f MiB more memory at the peak, %.0f MiB on disk", names, seconds, grown, size)


def _stamp(path: Path, location: str) -> dict[str, int]:
    try:
        with open(path, "rb") as file:
            return asdict(Stamp.of(file))
    except OSError as error:
        raise DataError(f"{location}: {path} cannot be read: {error.strerror}. Correct the path.") from error


def _peak() -> int:
    """Return the most memory that this process had so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
