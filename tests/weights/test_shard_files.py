"""A checkpoint in several files is read whole, or refused with what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit.engine.parallel.sharded_files import write_shards
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.files import load_checkpoint_file
from bus_toolkit.weights.shard_files import TABLE, shard_folder

SECTIONS = {
    "state_dict": {
        "weight": torch.arange(6.0).view(2, 3),
        "count": torch.tensor(7),
        "queue": torch.zeros(0, 3),  # as of a head without a queue
        "half": torch.arange(3.0).bfloat16(),
        "seen": torch.tensor([True, False]),
    },
    "optimizer": {"state": {0: {"exp_avg": torch.ones(2, 3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "iter_3.pth"
    torch.save({"meta": {"iter": 3}, **write_shards(SECTIONS, path)}, path)
    return path


def test_what_was_written_is_read(path: Path) -> None:
    found = load_checkpoint_file(path)
    assert TABLE not in found and found["meta"] == {"iter": 3}
    for name, value in SECTIONS["state_dict"].items():
        assert found["state_dict"][name].dtype == value.dtype and found["state_dict"][name].equal(value)
    assert torch.equal(found["optimizer"]["state"][0]["exp_avg"], torch.ones(2, 3))
    assert found["optimizer"]["param_groups"] == [{"lr": 0.1, "params": [0]}]


def test_a_look_without_the_tensors_reads_no_file(path: Path) -> None:
    for file in shard_folder(path).iterdir():
        file.unlink()
    assert load_checkpoint_file(path, "meta")["state_dict"]["weight"].shape == (2, 3)


def test_a_file_that_is_missing_or_damaged_is_named(path: Path) -> None:
    (file,) = shard_folder(path).iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"shard-00001-.*damaged: its bytes are not those that were written"):
        load_checkpoint_file(path)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"shard-00001-.*cannot be read .*and iter_3.pth needs it"):
        load_checkpoint_file(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"files": {}, "tensors": {"state_dict/weight": ([1 << 40], torch.float32)}}, "claims .* bytes of tensors"),
        ({"files": 3}, "damaged: its table of files cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(path: Path, table: dict[str, Any], message: str) -> None:
    held = torch.load(path, weights_only=False)  # the test's own file
    torch.save({**held, TABLE: table}, path)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint_file(path)


def test_a_table_that_names_what_no_file_holds_is_refused(path: Path) -> None:
    held = torch.load(path, weights_only=False)  # the test's own file
    held[TABLE]["tensors"]["state_dict/other"] = ([1], torch.float32)
    torch.save(held, path)
    with pytest.raises(CheckpointError, match=r"its shards cannot be read \(.*Missing key .*: state_dict/other\)"):
        load_checkpoint_file(path)
