"""Which files are meant: paths, globs and brace patterns of shards."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.limits import SHARD_NAMES

INDEX_SUFFIX = ".index.npz"
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_BRACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
_LONGEST = 4096  # characters: a path has no more


def find_shards(shards: str | Sequence[str], location: str) -> list[Path]:
    """Return the files that ``shards`` names, in the order given; those of a glob are sorted.

    Args:
        shards: One or several paths, globs (``train-*.tar``) or brace patterns as webdataset writes them
            (``train-{000000..000099}.tar``, ``{cc,sbu}.tar``).
        location: The setting, for messages.

    Raises:
        DataError: Nothing is named, a file is missing, compressed or named twice, or a glob finds none.
    """
    patterns = [shards] if isinstance(shards, str) else list(shards)
    files = [
        path for pattern in patterns for name in expand_braces(pattern, location) for path in _files(name, location)
    ]
    if not files:
        raise DataError(
            f"{location}: names no shard, got {shards!r}. Give paths of tar files, e.g. train-{{000..009}}.tar."
        )
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{location}: {len(missing)} of {len(files)} shards are not there, the first is {missing[0]}. "
            "Copy them, or correct the pattern."
        )
    compressed = next((path for path in files if path.suffix in _COMPRESSED), None)
    if compressed is not None:
        raise DataError(
            f"{location}: {compressed} is compressed, and a compressed tar has no random access. Uncompress it; "
            "its images are compressed anyway."
        )
    names: dict[str, Path] = {}
    for path in files:
        first = names.setdefault(os.path.realpath(path), path)
        if first is not path:
            other = "" if first == path else f", as {first} too"
            raise DataError(f"{location}: {path} is named twice{other}. Name each shard once.")
    return files


def expand_braces(pattern: str, location: str) -> list[str]:
    """Return ``pattern`` with each ``{a..b}`` and ``{a,b}`` written out; numbers keep the width of the first.

    Raises:
        DataError: Braces with neither a range nor a comma, or a range that falls.
    """
    if len(pattern) > _LONGEST:
        raise DataError(f"{location}: a path has at most {_LONGEST} characters, got {len(pattern)}. Correct it.")
    texts = _BRACE.split(pattern)  # what is between the braces, and at odd places what is in them
    choices = [_choices(inside, pattern, location) for inside in texts[1::2]]
    count = math.prod(map(len, choices))
    if count > SHARD_NAMES.value:
        raise DataError(
            f"{location}: {pattern!r} names {count} shards, allowed are {SHARD_NAMES.value}. {SHARD_NAMES.advice}"
        )
    return [
        "".join(part for pair in itertools.zip_longest(texts[::2], chosen[::-1], fillvalue="") for part in pair)
        for chosen in itertools.product(*reversed(choices))  # the first braces count fastest
    ]


def _choices(inside: str, pattern: str, location: str) -> Sequence[str]:
    """Return what braces may be; numbers are written out one by one when they are asked for."""
    bounds = _RANGE.fullmatch(inside)
    if bounds is not None:
        first, last = bounds.groups()
        numbers = range(int(first), int(last) + 1)
        if len(numbers) > SHARD_NAMES.value:
            raise DataError(
                f"{location}: {pattern!r} names {len(numbers)} shards, allowed are {SHARD_NAMES.value}. "
                f"{SHARD_NAMES.advice}"
            )
        choices = [str(number).zfill(len(first)) for number in numbers]
    else:
        choices = inside.split(",")
    if not choices or (bounds is None and len(choices) == 1):
        raise DataError(
            f"{location}: cannot read {{{inside}}} in {pattern!r}. Allowed are a rising range {{000..099}} and a list "
            "{a,b}. Correct it."
        )
    return choices


def _files(name: str, location: str) -> list[Path]:
    path = expand_home(name)
    if path.is_file() or not glob.has_magic(name):
        return [path]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if not match.endswith(INDEX_SUFFIX))
    if not matches:
        raise DataError(f"{location}: no file matches {name!r}. Correct the pattern.")
    return matches
