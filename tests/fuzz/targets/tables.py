"""Tables of annotation files: made of damaged JSON, and damaged themselves."""

import io
import json
import os
import shutil
from functools import cache

import numpy as np

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.errors import BusError
from tests.data.tables.coco_miniature import reader, write_coco
from tests.fuzz.mutation import damage_bytes, damage_text, damage_value
from tests.fuzz.target import Target

_NAMES = ("captions", "instances", "regions", "descriptions")


@cache
def _whole():
    """Return good files, and the files of good tables, by their paths in a folder."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _read_all(folder, write_coco(folder))
        files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        return files, {f"{p.parent.name.split('-')[0]}/{p.name}": p.read_bytes() for p in folder.glob("tables/*/*")}


def _read_all(folder, files):
    data = RegionCaptionDataset(reader(folder), **files, table_dir=str(folder / "tables"))
    for row in range(len(data)):
        for read in (data.get_data_info, data.get_region_info):
            try:
                read(row)
            except BadSample:
                pass


def _json(rng):
    number = rng.randrange(len(_NAMES))
    whole = _whole()[0][f"{_NAMES[number]}.json"]
    if rng.random() < 0.4:
        return bytes([number]) + damage_text(rng, whole)
    return bytes([number]) + json.dumps(damage_value(rng, json.loads(whole))).encode()


def _convert(data, folder):
    files = write_coco(folder)
    (folder / f"{_NAMES[data[0]]}.json").write_bytes(data[1:])
    try:
        _read_all(folder, files)
    finally:
        shutil.rmtree(folder / "tables", ignore_errors=True)


def _column(rng):
    """Return the path of a file of a table, and what is to be in its place."""
    name = rng.choice(sorted(_whole()[1]))
    content = _whole()[1][name]
    if name.endswith(".npy") and rng.random() < 0.6:
        array, out = np.load(io.BytesIO(content)).copy(), io.BytesIO()
        if rng.random() < 0.2:
            array = rng.choice((array.astype("f4"), array[:1], array[None], array[:0]))
        elif array.size:
            number = np.int64(rng.choice((0, 1, 127, 255, 40, 1 << 40)) * rng.choice((1, -1)))
            array.flat[rng.randrange(array.size)] = number.astype(array.dtype)
        np.save(out, array)
        content = out.getvalue()
    else:
        content = damage_bytes(rng, content)
    return f"{name}\n".encode() + content


def _read_table(data, folder):
    name, _, content = data.partition(b"\n")
    files = write_coco(folder)
    try:
        _read_all(folder, files)
        kind, _, column = name.decode().partition("/")
        (place,) = (folder / "tables").glob(f"{kind}-*")
        os.unlink(place / column)
        (place / column).write_bytes(content)
        _read_all(folder, files)
    finally:
        shutil.rmtree(folder / "tables", ignore_errors=True)


TARGETS = (
    Target("table_json", _json, _convert, (BusError,), _whole),
    Target("table", _column, _read_table, (BusError,), _whole),
)
