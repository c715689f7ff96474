import os
from pathlib import Path

import pytest

from bus_toolkit.config.files import find_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home, home_put_in
from bus_toolkit.weights.files import load_checkpoint_file


def test_the_home_is_put_in_and_that_of_nobody_is_left(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home("~/photos") == Path("/home/me/photos")
    assert expand_home(Path("photos/~")) == Path("photos/~")
    assert expand_home("~no_such_user/photos") == Path("~no_such_user/photos")


@pytest.mark.parametrize("path", ["x" * 256, "a/" * 2100, "a\0b"])
def test_a_path_that_no_file_can_have_is_refused(path):
    with pytest.raises(ConfigError, match="no file can have this name"):
        expand_home(path)


def test_a_folder_that_nobody_here_may_look_into_is_one_line(monkeypatch):
    looked = os.stat

    def stat(path, **kwargs):
        if str(path).startswith("/home/other"):
            raise PermissionError(13, "Permission denied")
        return looked(path, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
    for ask in (expand_home, find_config, load_checkpoint_file):
        with pytest.raises(ConfigError, match="'/home/other/run.pth': cannot be looked at: Permission denied. .*owner"):
            ask("/home/other/run.pth")
    assert home_put_in("/home/other/image.jpg") == Path("/home/other/image.jpg")
    assert expand_home("/no/such/file") == Path("/no/such/file")
