"""A recipe for a public data set: its files, their origin and sizes, and how they are converted to our form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.errors import DataError
from bus_toolkit.json_text import dump_json, parse_json
from bus_toolkit.text_files import read_utf8, split_lines


@dataclass(frozen=True)
class Wanted:
    """A file that must be there, or with ``/`` after its path a folder of images.

    Attributes:
        path: Below the folder of the data set; with ``*`` a glob pattern, of which one file at least must be there.
        origin: Which download has it.
        optional: It may be absent; results that need it are left out.
    """

    path: str
    origin: str
    optional: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether a folder of images is meant."""
        return self.path.endswith("/")

    @property
    def is_pattern(self) -> bool:
        """Whether any number of files is meant."""
        return "*" in self.path


class Download:
    """The folder of a data set as it was downloaded.

    Args:
        name: Of the data set, for messages.
        root: The folder.
        skip_images: Whether images may be missing.
    """

    def __init__(self, name: str, root: Path, *, skip_images: bool = False) -> None:
        self.name = name
        self.root = root
        self.skip_images = skip_images

    def path(self, name: str) -> Path:
        """Return the path of a file or folder."""
        return self.root / name

    def has(self, name: str) -> bool:
        """Return whether an optional file is there."""
        return self.path(name).exists()

    def json(self, name: str) -> Any:
        """Return the content of a JSON file.

        Raises:
            DataError: It cannot be read or is no JSON.
        """
        content = read_utf8(self.path(name), self.name, advice="Check the file.")
        try:
            return parse_json(content)
        except ValueError as error:
            raise self.malformed(name, error) from error

    def json_lines(self, name: str) -> list[Any]:
        """Return the entries of a file with one JSON value a line.

        Raises:
            DataError: It cannot be read, or a line is no JSON.
        """
        lines = split_lines(read_utf8(self.path(name), self.name, advice="Check the file."))
        values = []
        for number, line in enumerate(lines, start=1):
            try:
                values += [parse_json(line)] if line.strip() else []
            except ValueError as error:
                raise self.malformed(f"{name}, line {number}", error) from error
        return values

    def malformed(self, name: str, error: object) -> DataError:
        """Return the error for a file that does not have the form of this data set."""
        what = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        return DataError(
            f"{self.name}: {self.root}/{name} is cut off or of another form ({what}). Fetch the file again."
        )


@dataclass(frozen=True)
class Conversion:
    """A data set under chosen options.

    Attributes:
        files: What must be there.
        counts: Published sizes; those that ``convert`` does not return are passed over.
        convert: Writes our files into the given folder and returns its counts.
        links: Names in the result to folders or files of the source, so that images are not copied.
        usage: Settings of a YAML, with ``{out}`` for the folder of the result.
    """

    files: tuple[Wanted, ...]
    counts: tuple[Count, ...]
    convert: Callable[[Download, Path], Mapping[str, int]]
    usage: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A public data set.

    Attributes:
        name: Also the name of the default result, ``data/<name>``.
        title: For a person.
        page: Its official page.
        plan: Function from the chosen options, by name, to the plan.
        version: Raise it when the same files give another result: old folders are then replaced.
    """

    name: str
    title: str
    page: str
    plan: Callable[[Mapping[str, str]], Conversion]
    version: int = 1


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; characters stay as they are."""
    path.write_text(dump_json(content), encoding="utf-8")
