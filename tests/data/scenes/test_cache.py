import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus_toolkit.data.scenes import cache
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.errors import DataError


@pytest.fixture(autouse=True)
def forget_checked_folders(monkeypatch):
    monkeypatch.setattr(cache, "_checked", {})


def prepare(root, **settings):
    return cache.prepare_scenes(root, "val", 4, SceneSettings(**settings), workers=1)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_writes_once_and_the_same_again(tmp_path, monkeypatch):
    first = content(prepare(tmp_path / "a"))
    assert content(prepare(tmp_path / "b")) == first
    monkeypatch.setattr(cache, "_write", pytest.fail)
    prepare(tmp_path / "a")


def test_other_settings_are_written_again(tmp_path):
    prepare(tmp_path)
    folder = prepare(tmp_path, seed=5)
    assert json.loads((folder / cache.MANIFEST).read_text())["settings"]["seed"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["val_4"]


def test_settings_that_come_back_get_their_own_scenes(tmp_path):
    first = content(prepare(tmp_path))
    prepare(tmp_path)  # whole, and remembered as such
    prepare(tmp_path, seed=5)
    assert content(prepare(tmp_path)) == first


def test_scenes_that_another_process_reads_are_not_replaced(tmp_path, monkeypatch):
    first = content(prepare(tmp_path))
    other_process = dict(cache._checked)
    monkeypatch.setattr(cache, "_checked", {})
    with pytest.raises(DataError, match="another process reads them now. Give these settings a data_root of their own"):
        prepare(tmp_path, seed=5)
    assert content(prepare(tmp_path)) == first  # scenes of one kind are shared
    other_process.popitem()[1][1].close()
    assert content(prepare(tmp_path, seed=5)) != first


def test_two_processes_that_begin_together_write_them_once(tmp_path, monkeypatch):
    written, write = [], cache._write

    def note(folder, *settings):
        written.append(folder)
        write(folder, *settings)

    monkeypatch.setattr(cache, "_write", note)
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(lambda _: prepare(tmp_path), range(2)))
    assert written == folders[:1] == folders[1:]


def test_a_damaged_picture_is_noticed(tmp_path, caplog):
    folder = prepare(tmp_path)
    whole = content(folder)
    cache._checked.clear()
    picture = next((folder / "images").iterdir())
    picture.write_bytes(b"")
    assert content(prepare(tmp_path)) == whole
    assert "1 files are damaged or missing" in caplog.text


def test_a_crash_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "draw_to_files", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("power cut")))
    with pytest.raises(RuntimeError, match="power cut"):
        prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_never_replaces_a_folder_it_did_not_write(tmp_path):
    (tmp_path / "val_4").mkdir()
    (tmp_path / "val_4" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="was not written by the scene generator"):
        prepare(tmp_path)
    assert (tmp_path / "val_4" / "thesis.txt").read_text() == "mine"


def test_says_when_the_folder_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write .*file/val_4.*Point data_root to a folder"):
        prepare(tmp_path / "file")


@pytest.mark.parametrize(("split", "count", "message"), [("dev", 1, "no split named 'dev'"), ("val", 0, "got 0")])
def test_refuses_unknown_splits_and_no_images(tmp_path, split, count, message):
    with pytest.raises(DataError, match=message):
        cache.prepare_scenes(tmp_path, split, count, SceneSettings())
