"""JSON files of any size, read in pieces: what is in memory is one piece, whatever the file has.

Python's parser takes a whole text. Here it gets one list of whole entries after the other: a piece of the file is cut
where an entry seems to end, and if the parser takes the part, it was one. (A cut within an entry leaves a bracket or a
quote open, which no parser takes.) Where the guess fails, entries are parsed one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from bus_toolkit.errors import DataError
from bus_toolkit.json_text import KeyTwice, once
from bus_toolkit.limits import JSON_ENTRY_CHARACTERS

_PIECE = 1 << 22  # characters
_SPACE = " \t\n\r"
Hook = Callable[[list[tuple[str, Any]]], Any]


def list_sections(
    path: Path, names: Collection[str], location: str, hook: Hook | None = None, *, also: Collection[str] = ()
) -> Iterator[tuple[str, list[Any]]]:
    """Yield the entries of some lists of a file's mapping, with the name of the list; other keys are passed over.

    Args:
        path: JSON, a mapping at its top; in UTF-8, with or without a byte order mark.
        names: Keys of the lists. Each has to be there.
        location: Setting that names the file, for messages.
        hook: ``object_pairs_hook`` of :func:`json.loads`.
        also: Keys of lists that may be missing.

    Raises:
        DataError: The file cannot be read, is not JSON, has a key twice, or a key is missing or holds no list.
    """
    with _Stream(path, location, hook) as stream:
        stream.expect("{", f"a mapping with {' and '.join(names)}")
        seen: set[str] = set()
        for key in stream.keys():
            if key in seen:
                stream.fail(f"the key {key!r} occurs twice in one mapping")
            seen.add(key)
            if key in names or key in also:
                stream.expect("[", f"a list as {key}")
                for entries in stream.entries():
                    yield key, entries
            elif stream.next_is("["):
                stream.expect("[", "a list")
                for _ in stream.entries():
                    pass
            else:
                stream.value()
        stream.end()
        if missing := [name for name in names if name not in seen]:
            stream.fail(f"it has no {' and no '.join(missing)}")


def list_entries(path: Path, location: str, hook: Hook | None = None) -> Iterator[list[Any]]:
    """Yield the entries of a file that holds a list, many at a time; as :func:`list_sections`."""
    with _Stream(path, location, hook) as stream:
        stream.expect("[", "a list")
        yield from stream.entries()
        stream.end()


def mapping_entries(path: Path, location: str) -> Iterator[dict[str, Any]]:
    """Yield the keys and values of a file that holds a mapping, many at a time; as :func:`list_sections`.

    A key that is there twice is refused within what is read at a time; the caller compares the others.
    """
    with _Stream(path, location, once) as stream:
        stream.expect("{", "a mapping")
        yield from stream.pairs()
        stream.end()


def begins_with(sign: str, path: Path, location: str) -> bool:
    """Return whether this is the first sign of a file."""
    with _Stream(path, location, None) as stream:
        return stream.next_is(sign)


class _Stream:
    """A file of JSON, and the part of it that is in memory."""

    def __init__(self, path: Path, location: str, hook: Hook | None) -> None:
        self._path, self._source = path, f"{location}: {path}"
        self._text, self._at, self._ended = "", 0, False
        self._tries = True  # to read many entries at once
        self._decoder = json.JSONDecoder(object_pairs_hook=hook)

    def __enter__(self) -> _Stream:
        try:
            self._file: TextIO = open(self._path, encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{self._source} cannot be read: {error.strerror}. Correct the path.") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, reason: str) -> Any:
        """Refuse the file."""
        raise DataError(f"{self._source} is not JSON of the form that is needed: {reason}. Write or copy it again.")

    def expect(self, sign: str, wanted: str) -> None:
        """Step over a bracket."""
        if not self.next_is(sign):
            self.fail(f"it must have {wanted}, got {self._text[self._at : self._at + 40]!r}")
        self._at += 1

    def next_is(self, sign: str) -> bool:
        """Return whether this sign comes next."""
        return self._peek() == sign

    def end(self) -> None:
        """Check that nothing but white space is left."""
        if self._peek():
            self.fail(f"after its end comes {self._text[self._at : self._at + 40]!r}")

    def value(self) -> Any:
        """Return the next value, whole."""
        self._peek()
        reason = ""
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # a number may go on in the next piece
                    self._at = end
                    return found
            except RecursionError:
                self.fail("its lists and mappings are nested too deep")
            except KeyTwice as error:
                self.fail(str(error))
            except ValueError as error:  # wrong, or not yet whole
                reason = f"{error}; "
            if self._ended:
                self.fail(reason or "it ends too early")
            if len(self._text) - self._at > JSON_ENTRY_CHARACTERS.value:
                limit = JSON_ENTRY_CHARACTERS
                self.fail(f"{reason}an entry has more than {limit.value} characters, or no end. {limit.advice}")
            self._more()

    def keys(self) -> Iterator[str]:
        """Yield the keys of a mapping, after its bracket; the caller reads the value of each."""
        while not self._closes("}"):
            yield self._key()
            self._separated("}")

    def entries(self) -> Iterator[list[Any]]:
        """Yield the entries of a list, after its bracket."""
        while not self._closes("]"):
            several = self._several("[", "]", "},")
            yield [self.value()] if several is None else several
            self._separated("]")

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of a mapping, after its bracket."""
        while not self._closes("}"):
            several = self._several("{", "}", "],")
            yield {self._key(): self.value()} if several is None else several
            self._separated("}")

    def _several(self, opening: str, closing: str, ending: str) -> Any:
        """Return many entries at once: up to the last place that looks like the end of one, or to the closing bracket.

        ``None`` if that is not possible; it is not tried again in what is in memory.
        """
        if not self._ended and len(self._text) - self._at < _PIECE:
            self._more()
        cut = self._text.rfind(ending, self._at) if self._tries else -1
        if cut < 0:
            return None
        try:
            found = self._decoder.decode(f"{opening}{self._text[self._at : cut + 1]}{closing}")
            self._at = cut + 1
            return found
        except (ValueError, RecursionError):
            pass  # the end of the list lies before the cut, as a rule
        try:
            found, end = self._decoder.raw_decode(opening + self._text[self._at :])
            self._at += end - 2  # the closing bracket; one sign was put before
            return found
        except (ValueError, RecursionError):
            self._tries = False  # the entry itself says what is wrong
            return None

    def _key(self) -> str:
        key = self.value()
        if not isinstance(key, str) or not self.next_is(":"):
            self.fail(f"a key must be a text with a colon after it, got {str(key)[:40]!r}")
        self._at += 1
        return key

    def _closes(self, sign: str) -> bool:
        """Step over a closing bracket, if one comes next."""
        closes = self.next_is(sign)
        self._at += closes
        return closes

    def _separated(self, closing: str) -> None:
        """Step over the comma to a further entry, and no further than to the closing bracket."""
        sign = self._peek()
        if sign == ",":
            self._at += 1
            if self._peek() == closing:
                self.fail(f"after a comma must come an entry, got {closing!r}")
        elif sign != closing:
            self.fail(f"an entry must be followed by a comma or {closing!r}, got {sign!r}")

    def _peek(self) -> str:
        """Return the next sign that is no white space, without stepping over it; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more()

    def _more(self) -> None:
        """Read on, and let go of what was stepped over; an entry that does not end is read in doubling pieces."""
        rest = self._text[self._at :]
        try:
            piece = self._file.read(max(_PIECE, len(rest)))
        except UnicodeDecodeError as error:
            raise DataError(f"{self._source}: is not UTF-8 ({error.reason}). Convert the file.") from error
        except OSError as error:
            raise DataError(f"{self._source} cannot be read: {error.strerror}. Copy it again.") from error
        self._ended = not piece
        self._text, self._at, self._tries = rest + piece, 0, True
