import pytest

from bus_toolkit.data.preparation.deb_files import unpack_deb
from bus_toolkit.errors import DataError
from tests.data.preparation.tiny_deb import ar, deb, link

BELOW = "usr/share/pics"


def test_files_and_inner_links_below_the_path_are_written_and_nothing_else(tmp_path):
    members = {
        f"./{BELOW}/a/one.txt": b"1",
        f"./{BELOW}/b/two.txt": link("../a/one.txt"),
        "./usr/share/doc/copyright": b"no",
        f"./{BELOW}/../../../evil.txt": b"no",
        f"./{BELOW}/out.txt": link("/etc/hostname"),
        f"./{BELOW}/up.txt": link("../../../../secret"),
    }
    (tmp_path / "p.deb").write_bytes(deb(members))
    (tmp_path / "out").mkdir()
    assert unpack_deb(tmp_path / "p.deb", tmp_path / "out", BELOW) == 1
    there = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if not p.is_dir())
    assert there == [f"{BELOW}/a/one.txt", f"{BELOW}/b/two.txt"]
    assert (tmp_path / "out" / BELOW / "b" / "two.txt").read_bytes() == b"1"


def test_no_file_is_written_through_links_that_leave_the_path(tmp_path):
    """Each link alone stays below; the second one, read through the first, leads outside."""
    members = {
        f"./{BELOW}/a/b/c/keep.txt": b"1",
        f"./{BELOW}/short": link("a/b/c"),
        f"./{BELOW}/short/up": link("../x"),
        f"./{BELOW}/short/up/evil.txt": b"no",
        f"./{BELOW}/deep/er/est/x.txt": b"1",
        f"./{BELOW}/deep/er/est/flat": link("../../.."),
        f"./{BELOW}/one": link("deep/er/est/flat/deep"),
        f"./{BELOW}/over": link("a/b/c/keep.txt"),
    }
    (tmp_path / "p.deb").write_bytes(deb({**members, f"./{BELOW}/./over": b"written onto a link"}))
    (tmp_path / "out").mkdir()
    unpack_deb(tmp_path / "p.deb", tmp_path / "out", BELOW)
    inside = (tmp_path / "out" / BELOW).resolve()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "p.deb"]
    assert files and all(path.resolve().is_relative_to(inside) for path in files)
    assert (inside / "a/b/c/keep.txt").read_bytes() == b"1"


@pytest.mark.parametrize("kind", ["xz", "gz"])
def test_the_usual_compressions_are_read(tmp_path, kind):
    (tmp_path / "p.deb").write_bytes(deb({f"./{BELOW}/x": b"1"}, kind))
    assert unpack_deb(tmp_path / "p.deb", tmp_path, BELOW) == 1


@pytest.mark.parametrize(
    "content, report",
    [
        (b"PK\x03\x04", "is no Debian package"),
        (ar([("debian-binary", b"2.0\n")]), "has no data.tar"),
        (ar([("data.tar.zst", b"x")]), "compressed in a way that this Python does not read. Unpack it with dpkg-deb"),
        (ar([("data.tar.xz", b"x" * 50)]), "is damaged or cut off"),
        (deb({f"./{BELOW}/x": bytes(range(256)) * 40})[:250], "is damaged or cut off"),
        (b"!<arch>\n" + b"z" * 60, "the ar archive is damaged"),
    ],
)
def test_what_is_no_whole_package_is_reported(tmp_path, content, report):
    (tmp_path / "p.deb").write_bytes(content)
    with pytest.raises(DataError, match=report):
        unpack_deb(tmp_path / "p.deb", tmp_path, BELOW)
