from pathlib import Path

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home


def test_the_home_is_put_in_and_that_of_nobody_is_left(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home("~/photos") == Path("/home/me/photos")
    assert expand_home(Path("photos/~")) == Path("photos/~")
    assert expand_home("~no_such_user/photos") == Path("~no_such_user/photos")


@pytest.mark.parametrize("path", ["x" * 256, "a/" * 2100, "a\0b"])
def test_a_path_that_no_file_can_have_is_refused(path):
    with pytest.raises(ConfigError, match="no file can have this name"):
        expand_home(path)
