"""Write pairs into tar shards: the same pairs give the same bytes, and the folder is whole or not there."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bus_toolkit.data.shards.shard_sources import SourceSample, read_image
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home


def write_shards(
    samples: Iterable[SourceSample], folder: str | Path, *, samples_per_shard: int = 10_000, max_bytes: int = 10**9
) -> list[Path]:
    """Write ``<folder>/<name of folder>-000000.tar`` and so on; return their paths.

    Members are ``<nine digits>.jpg`` (or png, webp) and ``.txt`` or ``.json``, in the order of the samples; times,
    owners and modes are fixed. All is written beside ``folder`` and renamed at the end.

    Args:
        samples: What to write.
        folder: It must not exist, or be empty.
        samples_per_shard: A shard ends after so many.
        max_bytes: A shard ends before it would hold more bytes of content; one sample may be larger.

    Raises:
        DataError: The folder holds something or cannot be written, an image cannot be read, or there is no sample.
    """
    folder = expand_home(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder. Remove it, or write elsewhere.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".tmp", dir=folder.parent))
        try:
            names = _write_all(samples, scratch, folder.name, samples_per_shard, max_bytes)
            scratch.chmod(0o755)
            os.replace(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error}. Choose a folder with room that you may write to."
        ) from error
    return [folder / name for name in names]


def _write_all(
    samples: Iterable[SourceSample], scratch: Path, name: str, samples_per_shard: int, max_bytes: int
) -> list[str]:
    names: list[str] = []
    tar: tarfile.TarFile | None = None
    count = size = 0
    try:
        for number, sample in enumerate(samples):
            kind, image = read_image(sample)
            members = {kind: image, **sample.texts}
            added = sum(map(len, members.values()))
            if tar is None or count == samples_per_shard or size + added > max_bytes:
                if tar is not None:
                    _finish(tar)
                names.append(f"{name}-{len(names):06d}.tar")
                tar, count, size = tarfile.open(scratch / names[-1], "w", format=tarfile.USTAR_FORMAT), 0, 0
            for suffix, content in members.items():
                _add(tar, f"{number:09d}.{suffix}", content)
            count, size = count + 1, size + added
        if tar is None:
            raise DataError("there is no sample to write. Check the source.")
    finally:
        if tar is not None:
            _finish(tar)
    return names


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))


def _finish(tar: tarfile.TarFile) -> None:
    """Close a shard; its bytes are on the disk before the folder gets its name."""
    tar.close()
    with open(str(tar.name), "rb") as file:
        os.fsync(file.fileno())
