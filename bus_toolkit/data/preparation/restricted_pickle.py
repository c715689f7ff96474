"""Pickles of plain data, without the danger: nothing is imported, so nothing can run."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, NoReturn

from bus_toolkit.errors import DataError

_PLAIN = (str, bool, int, float, type(None))


def read_plain_pickle(path: Path) -> Any:
    """Return the content of a pickle that holds lists, tuples, dicts and sets of text, numbers and ``None`` alone.

    A pickle can name any function and call it; here every name is refused before it is looked up, so that only what
    pickle builds without a name is left. Bytes, complex numbers and other objects are refused too, wherever they are.
    Text that Python 2 wrote as bytes is read as Latin-1, which no byte can fail.

    Raises:
        DataError: It cannot be read, is damaged, or asks for anything else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    try:
        data = _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
        _check_plain(data)
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: is not read: {error}. Fetch the file from its official page.") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise DataError(
            f"{path}: is damaged or no pickle ({type(error).__name__}: {error}). Fetch it again."
        ) from error
    return data


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only plain data is allowed")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError(f"it refers to an object outside ({pid!r}), and only plain data is allowed")


def _check_plain(root: Any) -> None:
    """Refuse objects that are built without a name and yet are no plain data; each container is checked once."""
    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, _PLAIN):
            continue
        if not isinstance(value, (list, tuple, dict, set, frozenset)):
            raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, and only plain data is allowed")
        if id(value) in seen:
            continue
        seen.add(id(value))
        waiting.extend(value)
        if isinstance(value, dict):
            waiting.extend(value.values())
