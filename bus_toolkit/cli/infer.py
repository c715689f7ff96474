"""What tools/infer.py asks of an ``Inferencer``: what its words mean, and where results go."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.report import write_results
from bus_toolkit.inference.inferencer import Inferencer

PICTURES = "work_dirs/infer"


def expand_images(patterns: Sequence[str]) -> list[str]:
    """Return the files that paths and globs name, each glob's in order of name; ``**`` goes through folders.

    Raises:
        ConfigError: One that names nothing.
    """
    found: list[str] = []
    for pattern in patterns:
        files = (
            [pattern] if Path(pattern).is_file() else sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))
        )
        files = [file for file in files if Path(file).is_file()]
        if not files:
            raise ConfigError(f"--images: no file there, got {pattern!r}. Give paths or globs, such as 'photos/*.jpg'.")
        found += files
    return found


def read_texts(texts: Sequence[str], file: Path | None) -> list[str]:
    """Return the texts of the command line, or of a UTF-8 file, one a line; empty lines count for nothing.

    Raises:
        DataError: The file cannot be read, or holds no text.
    """
    if file is None:
        return list(texts)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--texts-file: cannot read {file}: {error}. Give a UTF-8 file, one text a line.") from error
    if not any(lines):
        raise DataError(f"--texts-file: no text in {file}. Write one a line.")
    return [line for line in lines if line]


def check_out(command: str, out: Path | None) -> None:
    """Refuse a place for results before anything is computed.

    Raises:
        ConfigError: A file of another kind than JSON.
    """
    if out is not None and (out.is_file() or (out.suffix and not out.is_dir())) and out.suffix != ".json":
        more = " and the pictures" if command == "explain" else ""
        raise ConfigError(f"--out: must be a .json, or a folder for {command}.json{more}, got {out}.")


def ask(
    inferencer: Inferencer, command: str, images: Sequence[str], texts: Sequence[str], out: Path | None, **search: Any
) -> Any:
    """Return what the method of that name gives; for ``retrieve`` always by direction.

    Args:
        inferencer: The model.
        command: A method of ``Inferencer`` but ``index``.
        images: Paths.
        texts: None for captions; without any, ``explain`` shows the pass without text.
        out: As ``--out``: pictures of ``explain`` go into this folder, or into one named as the JSON.
        search: Arguments of ``retrieve``.
    """
    if command == "retrieve":
        found = inferencer.retrieve(list(images), list(texts), **search)
        return found if isinstance(found, dict) else {search["direction"]: found}
    if command == "caption":
        return inferencer.caption(list(images))
    if command == "explain":
        folder = Path(PICTURES) if out is None else out.with_suffix("") if out.suffix == ".json" else out
        return inferencer.explain(list(images), list(texts) or None, out=folder)
    method = {"answer": inferencer.answer, "ground": inferencer.ground}[command]
    return method(list(images), list(texts))


def write(command: str, results: Any, out: Path) -> Path:
    """Write results as JSON to a file, or into a folder as ``<command>.json``; return its path.

    Raises:
        DataError: It cannot be written.
    """
    path = out if out.suffix == ".json" else out / f"{command}.json"
    try:
        return write_results(path, {"command": command, "results": results})
    except OSError as error:
        raise DataError(f"--out: cannot write {path}: {error.strerror}. Give another place.") from error
