"""Every kind of damage to the newest checkpoint is seen, and the one before is taken; what is whole passes."""

import logging
import os
import pickle
import re
import struct

import pytest
import torch
from mmengine.config import Config

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.engine.whole_start import decide_start, newest_whole
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.files import load_checkpoint_file
from tests.engine.tiny_run import tiny_config


def at(path, where, change=lambda byte: byte ^ 1, length=1):
    """Change bytes of a file."""
    content = bytearray(path.read_bytes())
    content[where : where + length] = bytes(change(byte) for byte in content[where : where + length])
    path.write_bytes(content)


def place_of(path, what):
    """Return where a part of the archive is: the values of a tensor, or its pickle."""
    content = path.read_bytes()
    weight = torch.load(path, weights_only=False)["state_dict"]["linear.weight"]
    values = struct.pack("4f", *weight.flatten().tolist())
    return {"tensor": content.index(values) + 5, "pickle": content.index(b"linear.weight") + 3}[what]


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(len(path.read_bytes()) * share)])


def held(change):
    """Return what saves the checkpoint again, whole, after a change of its contents."""

    def again(path):
        content = torch.load(path, weights_only=False)
        replaced = change(content)
        torch.save(content if replaced is None else replaced, path)

    return again


def blocks_exchanged(path):
    content = path.read_bytes()
    here = place_of(path, "tensor") // 512 * 512
    one, other = slice(here, here + 512), slice(here - 1024, here - 512)
    changed = bytearray(content)
    changed[one], changed[other] = content[other], content[one]
    path.write_bytes(changed)


def folder(path):
    path.unlink()
    path.mkdir()


def link_to_nowhere(path):
    path.unlink()
    path.symlink_to(path.with_name("gone.pth"))


def without(key):
    return held(lambda content: content.pop(key) and None)


class RunsCode:
    def __reduce__(self):
        return os.getcwd, ()


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), "not a checkpoint"),
    "cut after 3 bytes": (lambda path: path.write_bytes(path.read_bytes()[:3]), "not a checkpoint"),
    "cut in the middle": (cut(0.5), "not a readable checkpoint"),
    "cut before its directory": (cut(0.9), "not a readable checkpoint"),
    "without its last byte": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "not a readable checkpoint"),
    "one bit of a tensor": (lambda path: at(path, place_of(path, "tensor")), "damaged: .*CRC"),
    "one bit of the pickle": (lambda path: at(path, place_of(path, "pickle")), "damaged: .*CRC"),
    "one bit of the directory": (lambda path: at(path, path.read_bytes().rindex(b"data.pkl")), "damaged|readable"),
    "zeros over a tensor": (lambda path: at(path, place_of(path, "tensor"), lambda _: 0, 8), "damaged: .*CRC"),
    "blocks exchanged": (blocks_exchanged, "damaged"),
    "zeros alone": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "not a checkpoint"),
    "text": (lambda path: path.write_text("version https://example.org/spec/v1\n"), "not a checkpoint"),
    "half of a pickle": (lambda path: path.write_bytes(pickle.dumps({"a": [1] * 99}, 2)[:50]), "not "),
    "code": (held(lambda content: content.update(meta=RunsCode())), "could run code"),
    "a tensor": (held(lambda content: torch.zeros(2)), "got a Tensor"),
    "weights alone": (
        held(lambda content: content["state_dict"]),
        "no state_dict .*no meta.*no message_hub.*no optimizer",
    ),
    "no optimizer": (without("optimizer"), r"it has no optimizer with its moments\. Give --resume .*load_from="),
    "no meta": (without("meta"), "it has no meta, which says how far"),
    "no log": (without("message_hub"), "it has no message_hub"),
    "no iteration": (held(lambda content: content["meta"].pop("iter") and None), "meta.iter must be .*got None"),
    "a negative epoch": (held(lambda content: content["meta"].update(epoch=-1)), "meta.epoch must be .*got -1"),
    "an optimizer that is a number": (held(lambda content: content.update(optimizer=3)), "no optimizer"),
    "of a newer version": (
        held(lambda content: content["meta"]["bus_toolkit"].update(version=99)),
        "of version 99 of a newer bus_toolkit",
    ),
    "weights that are NaN": (
        held(lambda content: content["state_dict"].update({"linear.weight": torch.full((1, 4), torch.nan)})),
        "1 of its 2 tensors hold NaN",
    ),
    "a folder": (folder, "cannot be read|no such"),
    "a link to nowhere": (link_to_nowhere, "cannot be read|no such"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_seen_and_the_checkpoint_before_is_taken(saved_run, kind, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
    damage, reason = DAMAGES[kind]
    damage(saved_run / "epoch_2.pth")
    start = newest_whole(saved_run)
    assert start is not None and start.path == str(saved_run / "epoch_1.pth")
    if (saved_run / "epoch_2.pth").is_file():
        assert re.search(f"--resume: passed over {saved_run}/epoch_2.pth: .*({reason})", caplog.text)
    config = Config({"work_dir": str(saved_run)})
    with pytest.raises(CheckpointError, match=r"epoch_2\.pth"):
        decide_start(config, str(saved_run / "epoch_2.pth"), "--resume")


def test_what_is_whole_is_not_suspected(saved_run):
    path = saved_run / "epoch_2.pth"
    content = torch.load(path, weights_only=False)
    try:
        torch.utils.serialization.config.save.compute_crc32 = False
        torch.save(content, path)
    finally:
        torch.utils.serialization.config.save.compute_crc32 = True
    assert newest_whole(saved_run).path == str(path)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert newest_whole(saved_run).path == str(path)


def changed(path, change):
    content = torch.load(path, weights_only=False)
    change(content)
    torch.save(content, path)
    return RunOptions(resume=str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held["meta"].update(iter=10**9), r"is at step 1000000000 \(epoch 2\), past the end .*, step 6"),
        (lambda held: held["meta"].update(epoch=10**9), r"is at step 4 \(epoch 1000000000\), past the end"),
        (lambda held: held["state_dict"].update({"linear.weight": torch.ones(2, 4)}), "does not fit this model"),
        (lambda held: held["optimizer"]["param_groups"][0].pop("params"), "no optimizer with its moments"),
        (lambda held: held["optimizer"]["state"].update({0: 3}), "its state does not fit this training"),
        (lambda held: held.update(param_schedulers=[3]), "its state does not fit this training"),
        (lambda held: held["meta"]["bus_toolkit"].update(batches={"a": 1}), "its state does not fit this training"),
        (lambda held: held["meta"]["bus_toolkit"].update(parameters=[]), "its state does not fit this training"),
    ],
)
def test_what_is_whole_and_of_another_run_is_refused(saved_run, change, message):
    options = changed(saved_run / "epoch_2.pth", change)
    with pytest.raises(CheckpointError, match=message):
        build_runner(tiny_config(saved_run, max_epochs=3), options).train()


def test_an_evaluation_reads_no_damaged_weights(saved_run):
    at(saved_run / "epoch_2.pth", place_of(saved_run / "epoch_2.pth", "tensor"))
    cfg = tiny_config(saved_run)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    with pytest.raises(CheckpointError, match=r"epoch_2\.pth: damaged: its bytes are not those that were written"):
        build_runner(cfg, RunOptions(load_from=str(saved_run / "epoch_2.pth")))
    with pytest.raises(CheckpointError, match=r"epoch_2\.pth: damaged"):
        load_checkpoint_file(saved_run / "epoch_2.pth")
