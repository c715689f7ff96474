"""What a run starts from: whole, the newest that is, the same on all ranks."""

import logging
import os
import shutil

import pytest
import torch
from mmengine.config import Config

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.engine.whole_start import decide_start, newest_whole
from bus_toolkit.errors import CheckpointError
from tests.engine.tiny_run import tiny_config


@pytest.fixture
def logged(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
    # A set: pytest's handler may sit on the package's logger and on the root.
    return lambda: {(record.levelname, record.getMessage()) for record in caplog.records}


def decided(folder, flag=None, source="load_from", **settings):
    cfg = Config({"work_dir": str(folder), **settings})
    decide_start(cfg, flag, source)
    return cfg


def test_without_a_checkpoint_a_resumed_run_starts_from_scratch_and_says_so(tmp_path, logged):
    cfg = decided(tmp_path, "latest")
    assert cfg.resume is False and cfg.get("load_from") is None
    assert logged() == {("WARNING", f"--resume: no checkpoint in {tmp_path}, starting from the beginning.")}


@pytest.mark.parametrize(("flag", "setting"), [("latest", {}), (None, {"resume": True})])
def test_the_newest_checkpoint_of_the_work_dir_is_taken(saved_run, flag, setting):
    cfg = decided(saved_run, flag, **setting)
    assert cfg.resume is True and cfg.load_from == str(saved_run / "epoch_2.pth")


def test_a_damaged_one_is_named_and_the_one_before_is_taken(saved_run, logged):
    (saved_run / "epoch_2.pth").write_bytes((saved_run / "epoch_2.pth").read_bytes()[:-500])
    assert decided(saved_run, "latest").load_from == str(saved_run / "epoch_1.pth")
    texts = [text for level, text in logged() if level == "WARNING"]
    assert any(
        text.startswith(f"--resume: passed over {saved_run}/epoch_2.pth: not a readable checkpoint") for text in texts
    )
    assert f"--resume: goes on from {saved_run}/epoch_1.pth, iteration 2." in texts


def test_without_a_whole_one_nothing_starts_and_each_is_named(saved_run):
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (saved_run / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError) as caught:
        decided(saved_run, "latest")
    first, *others = str(caught.value).splitlines()
    assert first.startswith(f"--resume: of the checkpoints in {saved_run} none is whole. Give the path of another copy")
    assert len(others) == 2 and "epoch_2.pth: not a readable checkpoint" in others[0] and "epoch_1.pth" in others[1]


def test_a_path_that_is_given_is_taken_or_refused(saved_run):
    assert decided(saved_run, str(saved_run / "epoch_1.pth")).load_from == str(saved_run / "epoch_1.pth")
    (saved_run / "epoch_1.pth").write_bytes((saved_run / "epoch_1.pth").read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"epoch_1\.pth: not a readable checkpoint"):
        decided(saved_run, str(saved_run / "epoch_1.pth"))


def test_a_refusal_names_the_checkpoints_that_are_there(saved_run):
    there = f"{saved_run} has epoch_2.pth, epoch_1.pth"
    with pytest.raises(CheckpointError) as of_file:
        decided(saved_run, str(saved_run / "epoch_9.pth"), "--resume")
    assert str(of_file.value).endswith(f"{there}. Give the path of a .pth that a training has written.")
    with pytest.raises(CheckpointError) as of_folder:
        decided(saved_run, str(saved_run))
    assert f"{there} (`--work-dir {saved_run} --resume` takes the newest whole one). " in str(of_folder.value)


def test_what_is_not_there_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(CheckpointError, match=r"--resume: no such checkpoint, got gone\.pth"):
        decided(tmp_path, "gone.pth", "--resume")
    with pytest.raises(CheckpointError, match=r"CHECKPOINT: no such checkpoint, got gone\.pth"):
        decided(tmp_path, None, "CHECKPOINT", load_from="gone.pth")
    (tmp_path / "a.pth").mkdir()
    with pytest.raises(CheckpointError, match=r"--resume: a folder is no checkpoint, got .*a\.pth"):
        decided(tmp_path, str(tmp_path / "a.pth"), "--resume")
    cfg = tiny_config(tmp_path / "new")
    cfg.load_from = str(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match="load_from: no such checkpoint"):
        build_runner(cfg, RunOptions(resume="latest"))
    assert not (tmp_path / "new").exists()


def test_bare_weights_are_no_run():
    with pytest.raises(CheckpointError, match=r"--resume: a run goes on from a \.pth .*, got w\.safetensors"):
        decided("w", "w.safetensors")


def test_weights_to_start_from_are_looked_at_too(saved_run):
    path = saved_run / "epoch_2.pth"
    content = bytearray(path.read_bytes())
    content[content.index(b"linear.weight") - 3] ^= 1  # in the pickle
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"epoch_2\.pth: damaged: its bytes are not those that were written"):
        decided(saved_run, load_from=str(path))


def _agreed(rank, folder, own_disks):
    """Decide on two ranks, each of which may have a folder of its own; return the path or the message."""
    place = folder / f"rank{rank}" if own_disks else folder
    os.chdir(place)
    try:
        return decided("run", "latest").load_from
    except CheckpointError as error:
        return str(error)


@pytest.mark.slow
def test_ranks_agree_or_do_not_start(saved_run, tmp_path, two_ranks):
    assert two_ranks(_agreed, tmp_path, False) == ["run/epoch_2.pth"] * 2
    for rank in range(2):
        shutil.copytree(saved_run, tmp_path / f"rank{rank}" / "run")
    assert two_ranks(_agreed, tmp_path, True) == ["run/epoch_2.pth"] * 2
    other = tmp_path / "rank1" / "run" / "epoch_2.pth"
    shutil.copy(other.with_name("epoch_1.pth"), other)
    first, second = two_ranks(_agreed, tmp_path, True)
    assert first == second and "rank 1 (" in first and f"has another file of that name, {other}" in first
    other.unlink()
    first, second = two_ranks(_agreed, tmp_path, True)
    assert first == second and f"does not see {other}" in first and "on a disk that all machines share" in first
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (tmp_path / "rank0" / "run" / name).write_bytes(b"")
    first, second = two_ranks(_agreed, tmp_path, True)
    assert second == f"rank 0: {first}" and "none is whole" in first


def test_an_older_whole_one_is_found_where_the_newest_holds_nan(saved_run):
    held = torch.load(saved_run / "epoch_2.pth", weights_only=False)
    held["state_dict"]["linear.weight"][0, 1] = float("nan")
    torch.save(held, saved_run / "epoch_2.pth")
    start = newest_whole(saved_run)
    assert start is not None and start.path == str(saved_run / "epoch_1.pth") and start.iteration == 2
