"""Checkpoints on a server: copied once a machine, and compared with the server before a copy is used again."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import shutil
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.addresses import copy_name
from bus_toolkit.errors import CheckpointError
from bus_toolkit.ops.shared_work import for_all_ranks, is_first_of_machine
from bus_toolkit.writing import remove_stale, whole_file, write_whole

_log = logging.getLogger(__name__)
_SECONDS = 30  # without an answer of the server


@dataclass(frozen=True)
class Stamp:
    """What a server says about a file, by which a renewed one is recognised; ``None`` where it does not say.

    Attributes:
        etag: Its ``ETag``.
        modified: Its ``Last-Modified``.
        size: Its length in bytes.
    """

    etag: str | None = None
    modified: str | None = None
    size: int | None = None

    @classmethod
    def of(cls, headers: Any) -> Stamp:
        """Return the stamp in the headers of an answer."""
        size = headers.get("Content-Length")
        return cls(headers.get("ETag"), headers.get("Last-Modified"), int(size) if size else None)

    def differs(self, other: Stamp) -> bool:
        """Return whether a value that both have is another one."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return any(mine is not None and theirs is not None and mine != theirs for mine, theirs in pairs)


def local_copy(address: str) -> Path:
    """Return the path of a copy of ``address`` on this machine, in torch's folder of checkpoints.

    Copies are named by a digest of the whole address. One process of each machine asks the server and copies; the
    others wait, and fail with it. A copy that is there is used again, and the log says so, unless the server gives
    another ETag, time or size; where it does not answer, the copy is used as it is.

    Args:
        address: http or https.

    Raises:
        CheckpointError: There is no copy and none can be made.
    """
    place = Path(torch.hub.get_dir()) / "checkpoints" / copy_name(address)
    for_all_ranks(lambda: _provide(address, place), here=is_first_of_machine())
    return place


def _provide(address: str, place: Path) -> None:
    """Copy the file unless a copy of it is there."""
    if place.is_file():
        server, copied = _ask(address), _read_stamp(place)
        if server is None:
            _log.info("%s: taken from its copy %s; the server does not say whether it has changed.", address, place)
            return
        if not server.differs(copied):
            _log.info("%s: taken from its copy %s, which is unchanged.", address, place)
            return
        _log.info("%s: has changed on the server since it was copied to %s; copied again.", address, place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(address, place)
    except (OSError, http.client.HTTPException, ValueError) as error:
        text = f"{address}: cannot be downloaded ({error}). Give the path of a local file."
        raise CheckpointError(text) from error


def _ask(address: str) -> Stamp | None:
    """Return what the server says without sending the file; ``None`` if it does not answer such a question."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_SECONDS) as answer:
            return Stamp.of(answer.headers)
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _copy(address: str, place: Path) -> None:
    """Copy the file whole or not at all, and note its stamp beside it."""
    remove_stale(place.parent, re.escape(place.name))
    with whole_file(place) as scratch:
        with scratch.open("wb") as target, urllib.request.urlopen(address, timeout=_SECONDS) as answer:
            stamp = Stamp.of(answer.headers)
            shutil.copyfileobj(answer, target, 1 << 20)
        size = os.path.getsize(scratch)
        if stamp.size not in (None, size):
            raise OSError(f"the transfer broke off after {size} of {stamp.size} bytes")
        if _is_page(scratch):
            raise OSError("the server sent a page of text, as for a login, in place of the file")
        # Without its stamp a copy is taken for unchanged, so the old stamp goes first and the new one comes last.
        _stamp_file(place).unlink(missing_ok=True)
    write_whole(_stamp_file(place), json.dumps({"address": address.partition("?")[0], **asdict(stamp)}))


def _is_page(path: Path) -> bool:
    """Return whether a file starts as HTML or XML does; weights have bytes there that are no text."""
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    return start.startswith(b"<") and b"\0" not in start


def _read_stamp(place: Path) -> Stamp:
    """Return what the server said when the copy was made; its size is that of the file in any case."""
    size = place.stat().st_size
    try:
        held = json.loads(_stamp_file(place).read_text(encoding="utf-8"))
        return Stamp(held.get("etag"), held.get("modified"), size)
    except (OSError, ValueError, AttributeError):
        return Stamp(size=size)


def _stamp_file(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")
