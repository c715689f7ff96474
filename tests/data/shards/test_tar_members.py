import io
import tarfile

import pytest

from bus_toolkit.data.shards.tar_members import read_members
from bus_toolkit.errors import ConfigError, DataError
from tests.data.shards.tiny_shards import pairs, write_tar


def members(path):
    with open(path, "rb") as file:
        return list(read_members(file, path))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_offsets_lead_to_the_content(tmp_path, format):
    long = "folder/" * 10 + "n" * 90 + ".txt"
    names = ["a.txt", long, "ä.txt"] + ([] if format == tarfile.USTAR_FORMAT else ["x" * 300 + ".txt"])
    path = write_tar(tmp_path / "a.tar", [(name, name.encode()) for name in names], format)
    content = path.read_bytes()
    listed = members(path)
    assert [member.name for member in listed] == names
    assert [content[m.offset : m.offset + m.size].decode() for m in listed] == names


def test_reads_what_the_writer_of_webdataset_writes(tmp_path):
    """Its ``TarWriter`` streams, and its fractional times put a pax header before every member."""
    with open(tmp_path / "a.tar", "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for name, content in pairs(range(3)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode, info.uname, info.gname = (
                len(content),
                1.75e9 + 0.25,
                0o444,
                "bigdata",
                "x",
            )
            tar.addfile(info, io.BytesIO(content))
    content = (tmp_path / "a.tar").read_bytes()
    assert [(m.name, content[m.offset : m.offset + m.size]) for m in members(tmp_path / "a.tar")] == list(
        pairs(range(3))
    )
    assert content.count(b"PaxHeader") == 6


def test_links_are_named_as_such(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "b.txt").symlink_to("a.txt")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "in", "in")
    assert [(member.name, member.is_link) for member in members(tmp_path / "a.tar")] == [
        ("in/a.txt", False),
        ("in/b.txt", True),
    ]


def test_a_tar_without_members_is_whole(tmp_path):
    assert members(write_tar(tmp_path / "a.tar", [])) == []


# Members: 0000.png and its .txt, 0001.png and its .txt; a header and one block of content each.
@pytest.mark.parametrize(
    ("length", "message"),
    [
        (520, r"cut off in the middle of 0000.png: 520 bytes, needs at least .*; 0 whole members before"),
        (700, r"cannot be read after 1 members \(0000.png is the last whole one\): unexpected end"),
        (1540, r"cut off in the middle of 0000.txt"),
        (2048, r"cut off after 0000.txt, without an end mark: .*; 2 whole members"),
        (2100, r"cut off after 0000.txt"),
        (4096, r"cut off after 0001.txt, without an end mark: .*; 4 whole members"),
        (0, r"cannot be read after 0 members.*empty file"),
        (100, r"cannot be read after 0 members"),
    ],
)
def test_a_cut_off_tar_is_reported(tmp_path, length, message):
    path = write_tar(tmp_path / "a.tar", pairs(range(2)))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=rf"a\.tar: .*{message}.*(Copy|write) .*again"):
        members(path)


def test_a_broken_header_is_reported(tmp_path):
    path = write_tar(tmp_path / "a.tar", pairs(range(2)))
    content = bytearray(path.read_bytes())
    content[2048 + 150] ^= 0x55  # the checksum of the third header
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"byte 2048, after 0000.txt, is no header"):
        members(path)


def test_two_tars_in_one_file_are_reported(tmp_path):
    path = write_tar(tmp_path / "a.tar", pairs(range(2)))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match="more after the end mark .*One file holds one tar"):
        members(path)


def test_a_compressed_tar_is_reported(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w:gz"):
        pass
    with pytest.raises(DataError, match=r"compressed \(gzip\).*Uncompress it"):
        members(tmp_path / "a.tar")


def test_a_file_that_is_no_tar_is_reported(tmp_path):
    (tmp_path / "a.tar").write_text("caption,url\n" * 100)
    with pytest.raises(DataError, match="cannot be read after 0 members"):
        members(tmp_path / "a.tar")


def _header(kind, size, body=b"", negative=False):
    """Return a header of ``tarfile``, with a size that it would not write, and what follows it."""
    info = tarfile.TarInfo("a.png")
    info.type, info.size = kind, abs(size)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        block[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block) + body + b"\0" * (-len(body) % 512)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_header(b"0", -512), "a.png states -512 bytes"),
        (_header(b"L", -512), "a header of -512 bytes, allowed are 0 to 8192"),
        (_header(b"L", 4 << 30, b"x"), "a header of 4294967296 bytes.*BUS_MAX_TAR_HEADER_BYTES"),
        (_header(b"L", 3, b"abc") * 2000 + _header(b"0", 0), "a damaged header, RecursionError"),
        (_header(b"x", 29, b"29 GNU.sparse.map=one,two,3\n"), "a damaged header, ValueError"),
        (_header(b"S", 0), "."),
        # CVE-2019-20907, a pax record of no length; a global header that makes later members negative (libarchive
        # 2644); CVE-2024-6232, digits that are searched again and again.
        (_header(b"x", 8, b"0 a=b\n\0\0"), "byte 512.*is no header of a tar"),
        (_header(b"g", 14, b"14 size=-1024\n"), "a.png states -1024 bytes"),
        (_header(b"x", 8000, b"1" * 8000), "a number of more than 100 digits"),
    ],
)
def test_hostile_headers_are_reported_at_once(tmp_path, content, reason):
    file = tmp_path / "a.tar"
    file.write_bytes(_header(b"0", 0) + content + _header(b"0", 0) + b"\0" * 1024)
    with pytest.raises(DataError, match=reason):
        members(file)


def test_a_wrong_limit_in_the_environment_is_not_the_fault_of_a_tar(tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(_header(b"0", 0))
    monkeypatch.setenv("BUS_MAX_TAR_HEADER_BYTES", "8k")
    with pytest.raises(ConfigError, match=r"^BUS_MAX_TAR_HEADER_BYTES: must be a whole number from 1"):
        members(tmp_path / "a.tar")
