"""The order of checkpoints: by progress, whatever the times of the files are."""

import os

import pytest
import torch

from bus_toolkit.engine.checkpoint_order import newest_first


def write(folder, *names, pointer=None):
    """Write files whose times are in the reverse of their order here."""
    for age, name in enumerate(names):
        (folder / name).touch()
        os.utime(folder / name, (10 - age, 10 - age))
    if pointer is not None:
        (folder / "last_checkpoint").write_bytes(pointer)
    return [path.name for path in newest_first(folder)]


def test_numbers_count_and_not_times(tmp_path):
    names = [
        "epoch_2.pth",
        "epoch_10.pth",
        "epoch_9_iter_85.pth",
        "epoch_9.pth",
        "best_epoch_12.pth",
        ".epoch_13.pth.1.tmp",
    ]
    assert write(tmp_path, *names) == ["epoch_10.pth", "epoch_9_iter_85.pth", "epoch_9.pth", "epoch_2.pth"]


def test_what_came_after_the_one_that_the_pointer_names_is_of_an_earlier_run(tmp_path):
    assert write(tmp_path, "epoch_1.pth", "epoch_2.pth", "epoch_3.pth", pointer=b"/moved/epoch_2.pth\n") == [
        "epoch_2.pth",
        "epoch_1.pth",
    ]


def test_a_file_of_another_name_comes_first_if_the_pointer_names_it(tmp_path):
    assert write(tmp_path, "epoch_1.pth", "mine-7.pth", pointer=b"mine-7.pth") == ["mine-7.pth", "epoch_1.pth"]


def test_epochs_and_iterations_are_compared_by_what_the_files_hold(tmp_path):
    for epoch in (1, 2, 3):
        torch.save({"meta": {"iter": 10 * epoch}}, tmp_path / f"epoch_{epoch}.pth")
    (tmp_path / "iter_25.pth").touch()
    (tmp_path / "iter_15.pth").touch()
    order = ["epoch_3.pth", "iter_25.pth", "epoch_2.pth", "iter_15.pth", "epoch_1.pth"]
    assert [path.name for path in newest_first(tmp_path)] == order
    (tmp_path / "last_checkpoint").write_text("iter_25.pth")
    assert [path.name for path in newest_first(tmp_path)] == order[1:]


@pytest.mark.parametrize(
    "pointer",
    [
        b"",
        b"\xff\xfe\x00garbage",
        b"a" * 5000 + b".pth",
        b"b" * 300 + b".pth",
        b"some text",
        b"\0.pth",
        b"/gone/epoch_9.pth",
        b"/" + b"a" * 300 + b"/epoch_9.pth",  # to ask for it is an error, as in the folder of another user
    ],
)
def test_a_pointer_with_anything_else_is_ignored_with_a_warning(tmp_path, caplog, pointer):
    with caplog.at_level("WARNING", "bus_toolkit"):
        assert write(tmp_path, "epoch_2.pth", "epoch_1.pth", pointer=pointer) == ["epoch_2.pth", "epoch_1.pth"]
    (text,) = {record.getMessage() for record in caplog.records}
    assert "ignored" in text or "names epoch_9.pth, which is not there" in text


def test_a_pointer_that_is_a_folder_is_ignored(tmp_path, caplog):
    (tmp_path / "last_checkpoint").mkdir()
    with caplog.at_level("WARNING", "bus_toolkit"):
        assert write(tmp_path, "epoch_1.pth") == ["epoch_1.pth"]
    assert "cannot be read" in caplog.text


def test_a_pointer_may_lead_outside(tmp_path, caplog):
    (tmp_path / "run").mkdir()
    (tmp_path / "epoch_7.pth").touch()
    pointer = os.fsencode(tmp_path / "epoch_7.pth")
    with caplog.at_level("WARNING", "bus_toolkit"):
        assert write(tmp_path / "run", pointer=pointer) == ["epoch_7.pth"]
        assert write(tmp_path / "run", "epoch_2.pth", pointer=pointer) == ["epoch_2.pth"]
    assert "leads outside of its folder" in caplog.text


def test_those_before_it_are_found_outside_too(tmp_path):
    (tmp_path / "run").mkdir()
    for epoch in (6, 7, 8):
        (tmp_path / f"epoch_{epoch}.pth").touch()
    assert write(tmp_path / "run", pointer=os.fsencode(tmp_path / "epoch_7.pth")) == ["epoch_7.pth", "epoch_6.pth"]
