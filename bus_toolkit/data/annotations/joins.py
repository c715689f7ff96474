"""Ids by which two files are joined: compared in one form, and reported if they do not belong together."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Hashable
from typing import Any

import numpy as np

from bus_toolkit.errors import DataError

_log = logging.getLogger(__name__)
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


def one_form(identity: Any) -> Any:
    """Return an id as it is compared: 7, 7.0 and "7" are one id. "007" is another one, as are words.

    A list or mapping, which is no id but may be in a file, is compared by its text.
    """
    if isinstance(identity, float) and identity.is_integer():
        return int(identity)
    # Python refuses texts of thousands of digits as numbers.
    if isinstance(identity, str) and len(identity) < 100 and _WHOLE_NUMBER.fullmatch(identity):
        return int(identity)
    return identity if isinstance(identity, Hashable) else str(identity)


def check_join(
    own: Collection[Hashable],
    other: Collection[Hashable],
    *,
    location: str,
    kind: str,
    source: str = "the data",
    least: float = 0.5,
) -> None:
    """Check that ids of a file are among those that it is joined with; an empty side is not checked.

    Args:
        own: Ids of the file, in one form.
        other: Ids that it is joined with, in one form.
        location: Setting and file, for messages.
        kind: What they are ids of, e.g. ``images``.
        source: What the other ids are of.
        least: Below this share of the smaller side a warning says that the files hardly belong together.

    Raises:
        DataError: No id is in both.
    """
    if not own or not other:
        return
    few, many = (own, other) if len(own) <= len(other) else (other, own)
    examples = (next(iter(own)), next(iter(other)))
    _report(sum(identity in many for identity in few), (len(own), len(other)), examples, location, kind, source, least)


def report_join(own: np.ndarray, other: np.ndarray, *, location: str, kind: str) -> None:
    """Check the same of sorted int64 ids of a table and of its captions."""
    if not len(own) or not len(other):
        return
    few, many = (own, other) if len(own) <= len(other) else (other, own)
    found = np.minimum(np.searchsorted(many, few), len(many) - 1)
    examples = (int(own[0]), int(other[0]))
    _report(int((many[found] == few).sum()), (len(own), len(other)), examples, location, kind, "the data", 0.5)


def _report(
    shared: int,
    sizes: tuple[int, int],
    examples: tuple[Any, Any],
    location: str,
    kind: str,
    source: str,
    least: float,
) -> None:
    example = f"e.g. {examples[0]!r} here, {examples[1]!r} there"
    if shared == 0:
        raise DataError(
            f"{location}: none of its ids of {kind} ({sizes[0]}) is one of {source} ({sizes[1]}), {example}. Give "
            "files of the same data, and of the same split."
        )
    if shared < least * min(sizes):
        _log.warning(
            "%s: only %d of its ids of %s (%d) are among those of %s (%d), %s. Are the files of the same data?",
            *(location, shared, kind, sizes[0], source, sizes[1], example),
        )
