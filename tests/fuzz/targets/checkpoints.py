"""Files of weights: torch's zip archives, its legacy pickles, pickles inside of good archives, and safetensors."""

import io
import json
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from functools import cache

import torch
from safetensors.torch import save as save_safetensors

from bus_toolkit.errors import BusError
from bus_toolkit.weights.files import load_checkpoint_file, tensors_in
from tests.fuzz.mutation import damage_bytes, damage_value
from tests.fuzz.target import Target

_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
_NAMES = [
    b"torch\nFloatStorage\n",
    b"torch._utils\n_rebuild_tensor_v2\n",
    b"collections\nOrderedDict\n",
    b"os\nsystem\n",
]
_NAMES += [b"builtins\nbytearray\n", b"builtins\nset\n", b"torch\nSize\n", b"_codecs\nencode\n", b"torch\nTensor\n"]
_ONES = (b"]", b"}", b")", b"(", b"N", b"\x88")
_CALLS = (b"R", b"b", b"Q", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"\x81", b"0", b"\x90")
_TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3, dtype=torch.float16)}
_CHECKPOINT = {
    "state_dict": OrderedDict(_TENSORS),
    "meta": {"epoch": 1, "iter": 9, "cfg": "a: 1", "seen": {1, 2}},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
}


@cache
def _saved(zipped):
    file = io.BytesIO()
    torch.save(_CHECKPOINT, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _zip(rng):
    if rng.random() < 0.6:
        return damage_bytes(rng, _saved(True))
    return _repacked(rng, lambda name, content: damage_bytes(rng, content) if rng.random() < 0.3 else content)


def _repacked(rng, change):
    """Return the archive written again, now and then compressed, an entry renamed, doubled, empty or left out."""
    out = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(io.BytesIO(_saved(True))) as old, zipfile.ZipFile(out, "w", kind) as new:
        for name in old.namelist():
            chance, content = rng.random(), change(name, old.read(name))
            if chance < 0.03:
                continue
            name = rng.choice(("archive/data.pkl", "../x", "x/", "archive/constants.pkl")) if chance < 0.06 else name
            new.writestr(name, b"\0" * (1 << 20) if 0.06 < chance < 0.08 else content)
    return out.getvalue()


def _pickle(rng):
    """Return a good archive whose pickle is damaged, or made of random instructions."""

    def change(name, content):
        if not name.endswith("data.pkl"):
            return content
        if rng.random() < 0.6:
            return damage_bytes(rng, content)
        return b"\x80\x02" + b"".join(_instruction(rng) for _ in range(rng.randrange(1, 30))) + b"."

    return _repacked(rng, change)


def _instruction(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return b"c" + rng.choice(_NAMES)
    if kind == 1:
        return rng.choice(
            (b"K\x01", b"M\xff\xff", b"J\xff\xff\xff\x7f", b"X\x01\0\0\0a", b"]", b"}", b")", b"(", b"N", b"\x88")
        )
    if kind == 2:
        return rng.choice(
            (b"R", b"b", b"Q", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"\x81", b"0", b"\x90")
        )
    if kind == 3:
        return rng.choice((b"q\0", b"h\0", b"h\x05", b"r\0\0\0\0", b"j\xff\xff\xff\xff"))
    return rng.choice(_OPCODES) + rng.randbytes(rng.choice((0, 1, 4)))


def _legacy(rng):
    if rng.random() < 0.8:
        return damage_bytes(rng, _saved(False))
    return pickle.dumps(rng.choice((_CHECKPOINT["meta"], [1, 2], 0x1950A86A20F9469CFC6C)), protocol=2) * rng.randrange(
        1, 4
    )


def _safetensors(rng):
    data = save_safetensors(_TENSORS, {"positions": "3x4"})
    if rng.random() < 0.5:
        return damage_bytes(rng, data)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.dumps(damage_value(rng, json.loads(data[8 : 8 + length]))).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _load(suffix):
    def attempt(data, folder):
        file = folder / f"weights{suffix}"
        file.write_bytes(data)
        checkpoint = load_checkpoint_file(file)
        for tensor in tensors_in(checkpoint.get("state_dict") or checkpoint).values():
            tensor.float().sum()

    return attempt


TARGETS = (
    Target("pth_zip", _zip, _load(".pth"), (BusError,)),
    Target("pth_legacy", _legacy, _load(".pth"), (BusError,)),
    Target("pickle", _pickle, _load(".pth"), (BusError,)),
    Target("safetensors", _safetensors, _load(".safetensors"), (BusError,)),
)
