import pytest

from bus_toolkit.cli.shards import COMMAND
from bus_toolkit.errors import ConfigError
from tests.data.shards.tiny_shards import pairs, picture, write_tar


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for name, content in pairs(range(5)):
        (tmp_path / "photos" / name).write_bytes(content)
    return tmp_path / "photos"


def test_writes_and_verifies(photos, tmp_path, capsys):
    assert COMMAND.main([str(tmp_path / "out"), "--folder", str(photos), "--samples-per-shard", "2"]) == 0
    assert "3 shards" in capsys.readouterr().out
    assert COMMAND.main(["--verify", f"{tmp_path}/out/out-{{000000..000002}}.tar"]) == 0
    assert "out-000002.tar: 1 good samples, 0 faults" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 3, "verifying writes nothing"


def test_a_seed_shuffles_the_same_each_time(photos, tmp_path):
    for name in "ab":
        COMMAND.main([str(tmp_path / name / "s"), "--folder", str(photos), "--shuffle-seed", "1"])
    COMMAND.main([str(tmp_path / "c" / "s"), "--folder", str(photos)])
    contents = [(tmp_path / name / "s" / "s-000000.tar").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_verifying_names_every_bad_member(tmp_path, capsys):
    bad = [
        ("7.jpg", picture(7, "jpg")[:200]),
        ("7.txt", b"a"),
        ("8.png", picture(8)),
        ("8.json", b"{"),
        ("9.png", picture(9)),
        ("9.txt", b" "),
        ("lonely.txt", b"a"),
    ]
    write_tar(tmp_path / "a.tar", [*pairs([1]), *bad])
    write_tar(tmp_path / "b.tar", pairs([1]))
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:520])
    assert COMMAND.main(["--verify", f"{tmp_path}/*.tar"]) == 1
    out = capsys.readouterr().out
    for expected in (
        "a.tar::lonely.txt: no image of key 'lonely'",
        "a.tar::7.jpg: the image cannot be decoded",
        "a.tar::8.png: the json is no JSON",
        "a.tar::9.png: the caption is empty",
        "a.tar: 1 good samples, 4 faults",
        "b.tar: is cut off",
        "b.tar: 0 good samples, 1 faults",
    ):
        assert expected in out, expected


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["out"],
        ["--folder", "x"],
        ["out", "--images", "x"],
        ["out", "--folder", "x", "--images", "y", "--captions", "z"],
    ],
)
def test_needs_a_folder_and_one_source(argv):
    with pytest.raises(ConfigError, match="needs a folder to write and one source"):
        COMMAND.main(argv)
