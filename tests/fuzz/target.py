"""One reader under fire."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Target:
    """A reader, and inputs for it.

    Attributes:
        make: Returns the bytes of a case from its random numbers.
        attempt: Reads them; anything it raises beside ``refusals`` is a fault.
        refusals: The errors of ours by which such a reader refuses.
        prepare: Imports what the reader needs: the child process must not do it for each case.
    """

    name: str
    make: Callable[[Random], bytes]
    attempt: Callable[[bytes, Path], object]
    refusals: tuple[type[BaseException], ...]
    prepare: Callable[[], object] = lambda: None
