"""The files of a saved model, and the index by which a changed or torn one is noticed.

``bus_toolkit.json`` names every file but the card, which people edit, with its SHA-256. It finds damage, a copy that
was not finished, and files of two models in one folder. Who can write the index can write anything, so it proves no
author: what is read is data, whoever made it, and a version on a hub is pinned by its commit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_toolkit.errors import CheckpointError
from bus_toolkit.json_text import dump_json, parse_json
from bus_toolkit.runs_below import SAVED_MODEL
from bus_toolkit.safe_text import one_line

INDEX = SAVED_MODEL
CONFIG, WEIGHTS, CARD, TRAINING = "config.yaml", "model.safetensors", "README.md", "training.yaml"
VERSION = 1
_MOST_BYTES = 1 << 20  # of an index; it names a handful of files
_CHUNK = 1 << 20
# A plain path below the folder. Hubs keep the files of a snapshot as links, so those are followed.
_NAME = re.compile(r"(?!\.)[\w.+-]+(/(?!\.)[\w.+-]+)?")
_AGAIN = "Copy the folder again from where it was made, or save the model again."


@dataclass(frozen=True)
class Index:
    """What ``bus_toolkit.json`` holds.

    Attributes:
        files: SHA-256 of each file, by its path in the folder.
        plugins: The plugins whose parts the model has, with the packages that brought them.
        toolkit: The version that wrote it.
    """

    files: Mapping[str, str]
    plugins: Mapping[str, str] = field(default_factory=dict)
    toolkit: str = ""

    def text(self) -> str:
        """Return the content of the file."""
        content = {
            "version": VERSION,
            "toolkit": self.toolkit,
            "plugins": dict(self.plugins),
            "files": dict(sorted(self.files.items())),
        }
        return dump_json(content, indent=1) + "\n"


def is_saved_model(folder: Path) -> bool:
    """Return whether a folder is one that ``save_pretrained`` has written."""
    return (folder / INDEX).is_file()


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below ``folder`` but the card and the index."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256(path) for name, path in names.items() if name not in (CARD, INDEX)}


def read_index(folder: Path) -> Index:
    """Return the index of a saved model; nothing that it names is looked at.

    Raises:
        CheckpointError: It cannot be read, is of a newer version, or names a file outside of the folder.
    """
    file = folder / INDEX
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{file.stat().st_size} bytes are more than an index has")
        held = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not a readable index of a saved model ({error}). {_AGAIN}") from error
    problem = _problem(held)
    if problem:
        raise CheckpointError(f"{file}: {problem}. {_AGAIN}")
    return Index(held["files"], held.get("plugins") or {}, str(held.get("toolkit", "")))


def verified_index(folder: Path) -> Index:
    """Return the index of a saved model whose files are those that were written.

    Raises:
        CheckpointError: As :func:`read_index`; or files are missing or changed, all of which are named.
    """
    index = read_index(folder)
    wrong = [problem for name, digest in index.files.items() if (problem := _difference(folder / name, digest))]
    if wrong:
        raise CheckpointError(
            f"{folder}: not the model that was saved: {'; '.join(wrong)}. {_AGAIN} Only {CARD} may be edited; other "
            "settings are given when it is loaded (cfg_options, --cfg-options)."
        )
    return index


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _difference(path: Path, digest: str) -> str:
    """Return what is wrong with a file; empty if nothing is."""
    if not path.is_file():
        return f"{path.name} is not there"
    try:
        return "" if sha256(path) == digest else f"{path.name} has other bytes than its checksum says"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"


def _problem(held: Any) -> str:
    """Return what is wrong with the content of an index; empty if nothing is."""
    if not isinstance(held, dict):
        return f"must hold a mapping, got {type(held).__name__}"
    version = held.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        return f"is of version {one_line(repr(version))[:40]}, and this toolkit reads 1 to {VERSION}"
    files: Any = held.get("files")
    plugins = held.get("plugins") or {}
    for name, mapping in (("files", files), ("plugins", plugins)):
        if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
            return f"{name} must be a mapping of names to texts"
    outside = [name for name in files if not _NAME.fullmatch(name)]
    if outside:
        return f"files names {outside[0]!r}, which is no plain name inside of the folder"
    missing = [name for name in (CONFIG, WEIGHTS) if name not in files]
    return f"files does not name {missing[0]}" if missing else ""
