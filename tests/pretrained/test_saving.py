"""Where a model is saved: nothing of a user's is lost by it."""

from pathlib import Path

import pytest

from bus_toolkit.data.whole_folder import whole_folder
from bus_toolkit.errors import ConfigError


@pytest.mark.parametrize("own", [".git", "notes.md"])
def test_a_saved_model_that_holds_something_of_the_users_is_not_replaced(trained, copied, own):
    (copied / own).mkdir()
    with pytest.raises(ConfigError, match=f"which would be lost, the first: {own}. Name a new folder"):
        trained.save_pretrained(copied)
    assert (copied / own).is_dir()


def test_the_working_directory_is_refused_as_it_would_be_gone(trained, tmp_path, monkeypatch):
    (tmp_path / "in/it").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in/it")
    for path in (Path("."), Path(".."), tmp_path / "in"):
        with pytest.raises(OSError, match="the working directory is in it"), whole_folder(path):
            pass
    with pytest.raises(ConfigError, match="the working directory is in it and cannot be replaced. Name a folder below"):
        trained.save_pretrained(".")
    assert list((tmp_path / "in").iterdir()) == [tmp_path / "in/it"]


def test_a_link_stays_one_and_the_folder_that_it_leads_to_is_written(tmp_path):
    (tmp_path / "large_disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "large_disk")
    with whole_folder(tmp_path / "link") as scratch:
        (scratch / "file").touch()
    assert (tmp_path / "link").is_symlink() and (tmp_path / "large_disk/file").is_file()
