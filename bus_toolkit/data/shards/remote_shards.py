"""Shards that lie on a server: copied once into a cache folder, by webdataset's pipes, and then read like others."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bus_toolkit.addresses import copy_name
from bus_toolkit.data.shards.shard_paths import expand_braces
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.ops.shared_work import for_all_ranks, is_first_of_machine
from bus_toolkit.writing import put_in_place, remove_stale, temporary_name

_log = logging.getLogger(__name__)

# Schemes that webdataset hands to curl or gsutil as an argument. Its `pipe:` runs any command, so it is none of them: a
# YAML shall run no code.
_SCHEMES = ("http", "https", "sftp", "ftps", "scp", "gs")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AT_A_TIME = 8


def is_remote(name: str) -> bool:
    """Return whether a shard is named by an address instead of a path."""
    return _ADDRESS.match(name) is not None


def fetch_shards(shards: str | Sequence[str], cache_dir: str | None, location: str) -> list[str]:
    """Return local paths in place of addresses; shards that are not in ``cache_dir`` yet are copied there first.

    A copy appears whole or not at all, and is used again by later runs, which the log says: remove shards that have
    changed on the server from ``cache_dir`` by hand. The first process of each machine copies, eight shards at a time,
    and the others wait; all go on, or fail, together. They wait no longer than the process group allows: give large
    shards more time by ``env_cfg.dist_cfg.timeout`` (seconds), or copy them beforehand. Paths are returned as they are.

    Args:
        shards: Paths and addresses; braces of addresses are written out (``https://server/{000..099}.tar``).
        cache_dir: Folder of the copies; it needs room for all of them.
        location: The setting, for messages.

    Raises:
        DataError: A scheme that is not allowed, addresses without a folder, webdataset that is missing, or a shard that
            cannot be copied.
    """
    patterns = [shards] if isinstance(shards, str) else list(shards)
    names = [n for p in patterns for n in (expand_braces(p, location) if is_remote(p) else [p])]
    addresses = [name for name in names if is_remote(name)]
    if not addresses:
        return names
    _check(addresses, cache_dir, location)
    folder = expand_home(str(cache_dir))
    places = {address: folder / copy_name(address) for address in addresses}
    for_all_ranks(lambda: _fetch(places, folder, location), here=is_first_of_machine())
    return [str(places.get(name, name)) for name in names]


def _fetch(places: dict[str, Path], folder: Path, location: str) -> None:
    missing = {a: p for a, p in places.items() if not p.is_file()}
    if len(missing) < len(places):
        _log.info("%d of %d shards are taken from their copies in %s", len(places) - len(missing), len(places), folder)
    problems = _copy_all(missing, folder)
    if problems:
        raise DataError("\n".join(f"{location}: {problem}" for problem in problems[:10]))


def _check(addresses: Sequence[str], cache_dir: str | None, location: str) -> None:
    refused = next((a for a in addresses if a.split(":", 1)[0].lower() not in _SCHEMES), None)
    if refused is not None:
        raise DataError(
            f"{location}: the scheme must be one of {', '.join(_SCHEMES)}, got {refused!r}. Copy the shards yourself "
            "and give their paths."
        )
    if cache_dir is None:
        raise DataError(
            f"{location}: {addresses[0]} lies on a server. Set cache_dir to a folder with room for all shards."
        )
    try:
        import webdataset  # noqa: F401
    except ImportError as error:
        raise DataError(f"{location}: remote shards need webdataset. pip install 'bus_toolkit[remote]'.") from error


def _copy_all(missing: dict[str, Path], folder: Path) -> list[str]:
    if not missing:
        return []
    _log.info("copying %d shards into %s", len(missing), folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return [f"cache_dir {folder} cannot be written: {error.strerror}. Choose another folder."]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return [problem for problem in pool.map(_copy, missing, missing.values()) if problem]


def _copy(address: str, place: Path) -> str:
    """Copy one shard; return the problem, or an empty text."""
    from webdataset.gopen import gopen

    try:
        remove_stale(place.parent, re.escape(place.name))
        scratch = temporary_name(place)
        scratch.touch()
    except OSError as error:
        # Returned, not raised: the other processes wait for the report of this one.
        return f"cache_dir {place.parent} cannot be written: {error.strerror}. Choose another folder."
    try:
        # The status of the transfer is known when the pipe is closed: only then is the file whole.
        with scratch.open("wb") as target, gopen(address, "rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
        if scratch.stat().st_size == 0:
            return f"{address} cannot be copied: it is empty or not there. Check the address."
        put_in_place(scratch, place)
    except OSError as error:
        return f"{address} cannot be copied: {error}. Check the address and the connection, then start again."
    finally:
        scratch.unlink(missing_ok=True)
    return ""
