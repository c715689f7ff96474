"""A folder appears whole, replaces an older one, and a failure changes nothing."""

import os

import pytest

from bus_toolkit.data import whole_folder as module
from bus_toolkit.data.whole_folder import whole_folder


def written(folder, text):
    with whole_folder(folder) as scratch:
        (scratch / "file").write_text(text)
        assert not (folder / "file").exists() or (folder / "file").read_text() != text


def test_it_appears_at_the_end_and_replaces_what_was_there(tmp_path):
    for text in ("old", "new"):
        written(tmp_path / "deep" / "folder", text)
        assert (tmp_path / "deep" / "folder" / "file").read_text() == text
    assert os.listdir(tmp_path / "deep") == ["folder"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    written(tmp_path / "folder", "old")
    with pytest.raises(RuntimeError, match="power cut"), whole_folder(tmp_path / "folder") as scratch:
        (scratch / "file").write_text("half")
        raise RuntimeError("power cut")
    assert (tmp_path / "folder" / "file").read_text() == "old" and os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("faster", [True, False])
def test_where_it_cannot_take_its_place_no_folder_is_lost(tmp_path, monkeypatch, faster):
    written(tmp_path / "folder", "old")
    rename = os.rename

    def refuse(source, target):
        if str(source).endswith(".tmp"):
            if faster:
                os.mkdir(target)
                (tmp_path / "folder" / "file").write_text("of another process")
            raise OSError("not now")
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", refuse)
    if faster:
        written(tmp_path / "folder", "mine")
    else:
        with pytest.raises(OSError, match="not now"):
            written(tmp_path / "folder", "mine")
    wanted = "of another process" if faster else "old"
    assert (tmp_path / "folder" / "file").read_text() == wanted and os.listdir(tmp_path) == ["folder"]
