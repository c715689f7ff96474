import errno
import os
import stat

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import make_writable_folder, remove_stale, temporary_name, write_whole, writing


def test_a_file_that_cannot_be_written_is_named_with_its_flag(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--json: cannot write .*gone/a.json: No such file or directory. Set --json to"
    ):
        with writing(tmp_path / "gone" / "a.json", "--json"):
            (tmp_path / "gone" / "a.json").write_text("{}")


def test_other_errors_pass():
    with pytest.raises(KeyError), writing("a", "--out"):
        raise KeyError


def test_a_folder_is_made_and_left_empty(tmp_path):
    make_writable_folder(tmp_path / "a" / "b", "work_dir")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/self", "/proc/self/new", "/dev/null/new"])
def test_a_folder_without_the_right_to_write_is_refused(folder):
    with pytest.raises(ConfigError, match=f"work_dir: cannot write {folder}: .*. Set work_dir to a place"):
        make_writable_folder(folder, "work_dir")


def test_a_text_appears_whole_in_a_folder_that_is_made(tmp_path):
    write_whole(tmp_path / "new" / "a.txt", "ä\n")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "ä\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_nothing_is_left_of_a_file_whose_bytes_do_not_reach_the_disk(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(errno.ENOSPC, "the disk is full")))
    with pytest.raises(OSError, match="the disk is full"):
        write_whole(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_clock_that_is_ahead_keeps_nothing(tmp_path):
    """That of a file server, by which files have their times."""
    (tmp_path / ".a.pth.1-00000000.tmp").touch()
    os.utime(tmp_path / ".a.pth.1-00000000.tmp", (2**32, 2**32))
    assert remove_stale(tmp_path, r".+\.pth") == []
    assert [path.name for path in remove_stale(tmp_path, r".+\.pth", older_than=0)] == [".a.pth.1-00000000.tmp"]


def test_a_folder_that_cannot_be_forced_to_the_disk_is_no_fault(tmp_path, monkeypatch):
    real = os.fsync

    def of_files_alone(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "not on this file system")
        real(number)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    write_whole(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_temporary_names_differ_and_belong_to_their_file(tmp_path):
    one, other = temporary_name(tmp_path / "a.pth"), temporary_name(tmp_path / "a.pth")
    assert one != other and one.parent == tmp_path and one.name.startswith(".a.pth.") and one.suffix == ".tmp"


def test_stale_files_are_removed_once_they_are_old(tmp_path):
    names = [".epoch_1.pth.77.tmp", ".epoch_1.pth.77-0a1b2c3d.tmp", ".epoch_1.pth.77.old"]
    others = [".epoch_1.pth.tmp", "epoch_1.pth", ".notes.txt.77.tmp", "epoch_1.pth.77.tmp"]
    for name in names + others:
        (tmp_path / name).touch()
    assert remove_stale(tmp_path, r"epoch_\d+\.pth") == []
    for name in names + others:
        os.utime(tmp_path / name, (0, 0))
    assert sorted(path.name for path in remove_stale(tmp_path, r"epoch_\d+\.pth")) == sorted(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
