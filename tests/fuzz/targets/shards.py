"""Tar shards with their samples, and the index files beside them."""

import io
import json
import os
import tarfile
import zipfile
from functools import cache

import numpy as np

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.shards.index_files import index_file, load_index
from bus_toolkit.data.shards.shard_indices import ShardIndices
from bus_toolkit.data.shards.shard_reader import ShardReader
from bus_toolkit.data.shards.tar_index import read_index
from bus_toolkit.errors import BusError
from tests.data.shards.tiny_shards import boxed, pairs
from tests.fuzz.mutation import SCALARS, damage_bytes, damage_value
from tests.fuzz.target import Target

_BLOCK = tarfile.BLOCKSIZE
_PLACES = {
    "name": (0, 100),
    "mode": (100, 8),
    "size": (124, 12),
    "checksum": (148, 8),
    "type": (156, 1),
    "magic": (257, 8),
}
_TYPES = b"0\x0012345678KLSxgXDM"
_PAX = (
    "size",
    "path",
    "linkpath",
    "GNU.sparse.map",
    "GNU.sparse.major",
    "GNU.sparse.size",
    "GNU.sparse.name",
    "hdrcharset",
)


@cache
def _seeds():
    seeds = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
            long = [] if kind == tarfile.USTAR_FORMAT else [("d/" + "n" * 150 + ".png", b"x"), ("é\x1b[31m.txt", b"a")]
            for name, content in [*pairs(range(2)), *boxed(2, [[1, 2, 3, 4]]), *long]:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        seeds.append(out.getvalue())
    return seeds


def _tar(rng):
    data = rng.choice(_seeds())
    chance = rng.random()
    if chance < 0.25:
        return damage_bytes(rng, data)
    if chance < 0.35:
        return _with_pax(rng, data)
    data = bytearray(data)
    headers = [place for place in range(0, len(data), _BLOCK) if data[place + 257 : place + 262] == b"ustar"]
    for _ in range(rng.choice((1, 1, 2))):
        _change_header(rng, data, rng.choice(headers))
    return bytes(data)


def _change_header(rng, data, start):
    """Change a field of the header at ``start``; its checksum is made right again, mostly."""
    first, length = _PLACES[rng.choice(list(_PLACES))]
    if first == 156:
        field = bytes([rng.choice(_TYPES)])
    elif first == 124 and rng.random() < 0.7:
        size = rng.choice((-512, -1, -(2**40), 0, 1, 511, 2**31, 2**40, 2**63 - 1))
        field = bytes([255 if size < 0 else 128]) + size.to_bytes(11, "big", signed=True)
    else:
        field = rng.choice((rng.randbytes(length), b"\0" * length, b"7" * length, rng.choice(SCALARS).encode()))
    data[start + first : start + first + length] = field[:length].ljust(length, b"\0")
    if rng.random() < 0.9:
        data[start + 148 : start + 156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + _BLOCK])


def _with_pax(rng, data):
    """Return ``data`` after extended headers: hostile records, or a chain of them that never comes to a member."""
    records = b""
    for _ in range(rng.randrange(1, 4)):
        record = f" {rng.choice(_PAX)}={rng.choice((*SCALARS, '-1024', '1,2,3', '1'))}\n".encode()
        records += str(len(record) + rng.choice((2, 2, 3, 0, 10**9))).encode() + record
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = rng.choice((b"x", b"g", b"L", b"K", b"S")), len(records)
    block = info.tobuf(tarfile.GNU_FORMAT) + records.ljust(-(-len(records) // _BLOCK) * _BLOCK, b"\0")
    return block * rng.choice((1, 1, 2, 700)) + data


def _read_tar(data, folder):
    file = folder / "shard.tar"
    file.write_bytes(data)
    index = read_index(file)
    _read_samples(file, index)


def _read_samples(file, index):
    reader = ShardReader(ShardIndices.of([file], [index])) if len(index) else ()
    for number in range(len(reader)):
        try:
            reader.read(number)
        except BadSample:
            pass


def _index(rng):
    """Return an index file of a shard of 2 samples, damaged; ``_read_index_file`` has the shard."""
    whole = _whole_index()
    if rng.random() < 0.5:
        return damage_bytes(rng, whole)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if rng.random() > 0.05:
                new.writestr(name, _changed_array(rng, name, old.read(name)))
    return out.getvalue()


def _changed_array(rng, name, content):
    if rng.random() < 0.6:
        return content
    array, out = np.load(io.BytesIO(content)), io.BytesIO()
    if name == "meta.npy" and rng.random() < 0.8:
        meta = damage_value(rng, json.loads(array.tobytes()))
        array = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    elif rng.random() < 0.2:
        return damage_bytes(rng, content)
    elif rng.random() < 0.3:
        array = rng.choice((array.astype("f4"), array[:1], array[None], np.zeros(1 << 20, array.dtype)))
    elif array.size:
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice((0, 1, -1, 255, 2**31, 2**62)) % 256**array.itemsize // 2
    np.save(out, array)
    return out.getvalue()


@cache
def _whole_index():
    """Return an index with a shard's size, and a stamp that ``_read_index_file`` can give to the shard."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = _write_shard(Path(folder))
        load_index(file)
        return index_file(file).read_bytes()


def _write_shard(folder):
    file = folder / "shard.tar"
    file.write_bytes(_seeds()[0])
    return file


def _read_index_file(data, folder):
    file = _write_shard(folder)
    data = _stamped(data, os.stat(file))
    index_file(file).write_bytes(data)
    index = load_index(file)
    _read_samples(file, index)


def _stamped(data, stat):
    """Return an index file with the times of a new shard, where it still is one: else it would never be used."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "meta.npy":
                    meta = json.loads(np.load(io.BytesIO(content)).tobytes())
                    meta["stamp"] |= {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
                    array = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
                    content = io.BytesIO()
                    np.save(content, array)
                    content = content.getvalue()
                new.writestr(name, content)
    except Exception:
        return data
    return out.getvalue()


TARGETS = (
    Target("tar", _tar, _read_tar, (BusError,), _seeds),
    Target("index", _index, _read_index_file, (BusError,), _whole_index),
)
