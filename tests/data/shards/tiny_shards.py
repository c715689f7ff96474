"""Small shards for tests: a few coloured squares with captions, written by Python's tarfile."""

from __future__ import annotations

import io
import json
import tarfile

import cv2
import numpy as np

from bus_toolkit.data.shards.shard_dataset import ShardDataset

PIPELINE = [{"type": "bus_toolkit.LoadImageFromBytes"}, {"type": "bus_toolkit.PackRegions"}]


def picture(number, kind="png"):
    """Return an encoded 16 x 16 image whose pixels encode its number."""
    return cv2.imencode(f".{kind}", np.full((16, 16, 3), number, np.uint8))[1].tobytes()


def write_tar(path, members, format=tarfile.USTAR_FORMAT):
    """Write (name, content) pairs."""
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def pairs(numbers):
    """Return members of plain pairs: an image and a txt each."""
    for number in numbers:
        yield f"{number:04d}.png", picture(number)
        yield f"{number:04d}.txt", f"square {number}".encode()


def boxed(number, boxes, **more):
    """Return members of a sample whose JSON has boxes."""
    record = {"caption": f"square {number}", "boxes": boxes, **more}
    return [(f"{number:04d}.png", picture(number)), (f"{number:04d}.json", json.dumps(record).encode())]


def write_shards_of(folder, sizes):
    """Write shards of so many pairs each, numbered through; return their paths."""
    starts = np.cumsum([0, *sizes])
    return [write_tar(folder / f"train-{i:03d}.tar", pairs(range(starts[i], starts[i + 1]))) for i in range(len(sizes))]


def build(shards, pipeline=PIPELINE, **options):
    return ShardDataset(str(shards) if not isinstance(shards, list) else list(map(str, shards)), pipeline, **options)
