from pathlib import Path

from bus_toolkit.home import expand_home


def test_the_home_is_put_in_and_that_of_nobody_is_left(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home("~/photos") == Path("/home/me/photos")
    assert expand_home(Path("photos/~")) == Path("photos/~")
    assert expand_home("~no_such_user/photos") == Path("~no_such_user/photos")
