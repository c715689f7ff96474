"""The inputs of ``bus-toolkit infer``, checked before anything is loaded."""

from __future__ import annotations

import argparse
import glob
from collections.abc import Sequence
from pathlib import Path

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.home import expand_home
from bus_toolkit.text_files import read_utf8, split_lines

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def expand_images(patterns: Sequence[str]) -> list[str]:
    """Return the files that paths and globs name, each glob's in order of name; ``**`` goes through folders.

    A folder names the images in it, not those in folders below.

    Raises:
        ConfigError: One that names nothing.
    """
    paths: list[str] = []
    for pattern in patterns:
        files = _files_of(pattern)
        if not files:
            raise ConfigError(
                f"--images: no image there, got {pattern!r}. Give paths, folders or globs, such as 'photos/*.jpg'."
            )
        paths += files
    return paths


def _files_of(pattern: str) -> list[str]:
    path = expand_home(pattern)
    if Path(pattern).is_file():
        return [pattern]
    if path.is_dir():
        return sorted(str(file) for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
    return [file for file in sorted(glob.glob(str(path), recursive=True)) if Path(file).is_file()]


def read_texts(typed: Sequence[str], file: Path | None, flag: str = "--texts-file") -> list[str]:
    """Return the texts of the command line, or of a UTF-8 file, one a line; empty lines count for nothing.

    Raises:
        DataError: The file cannot be read, or holds no text.
    """
    if file is None:
        return list(typed)
    lines = [line.strip() for line in split_lines(read_utf8(file, flag))]
    texts = [line for line in lines if not is_blank(line)]
    if not texts:
        raise DataError(f"{flag}: no text in {file}. Write one a line.")
    return texts


def check_out(command: str, out: Path | None) -> None:
    """Refuse a path for results that cannot be used.

    Raises:
        ConfigError: A file of another kind than JSON.
    """
    if out is not None and (out.is_file() or (out.suffix and not out.is_dir())) and out.suffix != ".json":
        more = " and the pictures" if command == "explain" else ""
        raise ConfigError(f"--out: must be a .json, or a folder for {command}.json{more}, got {out}.")


_FLAGS = {
    "topk": ("retrieve", "classify"),
    "rerank": ("retrieve",),
    "direction": ("retrieve",),
    "template": ("classify",),
    "side_by_side": ("explain",),
}


def search_flags(args: argparse.Namespace) -> dict[str, object]:
    """Return the arguments of ``retrieve``, ``classify`` or ``explain`` that were given.

    Raises:
        ConfigError: They were given to another command.
    """
    given = {name: value for name in _FLAGS if (value := getattr(args, name)) not in (None, False)}
    for name in given:
        if args.command not in _FLAGS[name]:
            raise ConfigError(
                f"--{name.replace('_', '-')}: has an effect on {' and '.join(_FLAGS[name])} only, got the command "
                f"{args.command}. Leave it out."
            )
    if "template" in given:
        given["templates"] = given.pop("template")
    return {"direction": "both", **given} if args.command == "retrieve" else given


def check_sources(args: argparse.Namespace) -> None:
    """Refuse several models where only one can be asked.

    Raises:
        ConfigError: There are several without ``explain --side-by-side``, with a checkpoint, or one of them twice.
    """
    sources = args.sources
    if len(sources) > 1 and not args.side_by_side:
        raise ConfigError(
            f"RUN_OR_CONFIG: must be one but for explain --side-by-side, got {len(sources)}: {', '.join(sources)}. "
            "Ask one after the other."
        )
    if len(sources) > 1 and args.checkpoint:
        raise ConfigError("--checkpoint: belongs to one model, got several. Give run folders, which have their own.")
    if len({Path(source).resolve() for source in sources}) < len(sources):
        raise ConfigError(f"RUN_OR_CONFIG: must be different ones, got {', '.join(sources)}. Give each once.")


def names_of(sources: Sequence[str]) -> dict[str, str]:
    """Return sources by short names: the parts of their paths in which they differ, if the paths are equally long."""
    parts = [Path(source).parts for source in sources]
    if len(sources) == 1 or len(set(map(len, parts))) > 1:
        return {source: source for source in sources}
    differs = [len(set(of_all)) > 1 for of_all in zip(*parts, strict=True)]
    names = ("/".join(part for part, own in zip(of_one, differs, strict=True) if own) for of_one in parts)
    return dict(zip(names, sources, strict=True))


def check_texts(command: str, texts: Sequence[str]) -> None:
    """Refuse a command with texts that it does not read, or without those that it needs.

    Raises:
        ConfigError: One of the two.
    """
    if command == "caption" and texts:
        raise ConfigError("--text: caption reads none, got some. Leave it out, or ask by answer or ground.")
    if command in ("retrieve", "classify", "answer", "ground") and not texts:
        raise ConfigError(f"--text: {command} needs at least one, got none. Give --text or --texts-file.")
