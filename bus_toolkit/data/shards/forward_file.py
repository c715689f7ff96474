"""A file that is read in one direction and in small pieces: what ``tarfile`` may do with a tar from elsewhere."""

from __future__ import annotations

import re
import tarfile
from typing import BinaryIO

from bus_toolkit.limits import TAR_HEADER_BYTES

# Before Python 3.11.10 and 3.12.6 tarfile searches a run of digits from each of its places (CVE-2024-6232).
_RUN_OF_DIGITS = re.compile(rb"[0-9]{100}")


class ForwardFile:
    """The part of a file that ``tarfile`` uses to read headers.

    A header with a negative size leads back in the file, and one of a long name may claim any number of bytes: each is
    an error here, where ``tarfile`` of some Pythons reads for ever or takes the memory. So is a header that it takes
    seconds to search.

    Args:
        file: The tar; it is not closed.

    Raises:
        tarfile.ReadError: By its methods, for a step back or a read of more than ``TAR_HEADER_BYTES``.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._most = TAR_HEADER_BYTES.value
        self._furthest = 0
        self.name = getattr(file, "name", None)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def seek(self, position: int) -> int:
        """Go on to a position at or after the last one, counted from the start."""
        if position < self._furthest - tarfile.BLOCKSIZE:  # tarfile itself goes back by one byte, or to try a header
            raise tarfile.ReadError(f"a header leads back, from byte {self._furthest} to {position}")
        self._furthest = max(self._furthest, position)
        return self._file.seek(position)

    def read(self, count: int) -> bytes:
        """Return the next bytes, as many as a header may have."""
        if not 0 <= count <= self._most:
            raise tarfile.ReadError(
                f"a header of {count} bytes, allowed are 0 to {self._most}. {TAR_HEADER_BYTES.advice}"
            )
        data = self._file.read(count)
        if count > tarfile.BLOCKSIZE and _RUN_OF_DIGITS.search(data):
            raise tarfile.ReadError("a header with a number of more than 100 digits")
        return data
