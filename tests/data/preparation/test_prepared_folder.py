import json

import pytest

from bus_toolkit.data.preparation.prepared_folder import damaged_files, prepare_folder, read_manifest
from bus_toolkit.errors import DataError


def filling(text, calls=None):
    def fill(scratch):
        if calls is not None:
            calls.append(text)
        (scratch / "sub").mkdir()
        (scratch / "sub" / "a.txt").write_text(text)
        return {"letters": len(text)}

    return fill


def test_it_is_written_once_and_again_only_when_something_is_other(tmp_path):
    out, calls = tmp_path / "deep" / "out", []
    manifest, is_new = prepare_folder(out, {"version": 1}, filling("abc", calls))
    assert is_new and manifest["counts"] == {"letters": 3} and list(manifest["files"]) == ["sub/a.txt"]
    assert prepare_folder(out, {"version": 1}, filling("xyz", calls)) == (manifest, False)
    assert prepare_folder(out, {"version": 2}, filling("other", calls))[1]
    assert prepare_folder(out, {"version": 2}, filling("forced", calls), force=True)[1]
    (out / "sub" / "a.txt").write_text("damaged")
    assert damaged_files(out, read_manifest(out)) == ["sub/a.txt"]
    assert prepare_folder(out, {"version": 2}, filling("fixed", calls))[1]
    assert calls == ["abc", "other", "forced", "fixed"] and (out / "sub" / "a.txt").read_text() == "fixed"


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    def fail(scratch):
        (scratch / "half").write_text("half")
        raise RuntimeError("no more")

    out = tmp_path / "out"
    prepare_folder(out, {}, filling("abc"))
    with pytest.raises(RuntimeError):
        prepare_folder(out, {"other": 1}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (out / "sub" / "a.txt").read_text() == "abc"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for content in (None, "{", json.dumps({"counts": {}})):
        if content is not None:
            (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(DataError, match="no readable manifest.json, so no preparation wrote it. Choose another"):
            prepare_folder(tmp_path, {}, filling("abc"), force=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written: .*Choose a folder with room"):
        prepare_folder(tmp_path / "file" / "out", {}, filling("abc"))
