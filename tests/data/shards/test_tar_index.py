import json
import tarfile

import pytest

from bus_toolkit.data.shards.tar_index import read_index
from tests.data.shards.tiny_shards import boxed, pairs, picture, write_tar


def test_samples_have_their_places_and_names(tmp_path):
    path = write_tar(tmp_path / "a.tar", [*pairs([3, 4]), *boxed(5, [[0, 0, 4, 4]])])
    index, content = read_index(path), path.read_bytes()
    assert len(index) == 3 and [index.name(i) for i in range(3)] == ["0003.png", "0004.png", "0005.png"]
    for row, number in enumerate((3, 4, 5)):
        offset, size = index.image[row]
        assert content[offset : offset + size] == picture(number)
    offset, size = index.json[2]
    assert json.loads(content[offset : offset + size])["caption"] == "square 5"
    assert index.text[:, 0].tolist()[2] == -1 and index.json[:2, 0].tolist() == [-1, -1]
    assert index.boxed.tolist() == [False, False, True]
    assert index.left_out == ()


def test_the_key_ends_at_the_first_dot_of_the_file_name(tmp_path):
    names = ["v1.5/a.jpg", "v1.5/a.txt", "b.JPEG", "b.txt", "b.seg.png", "b.cls", "._c.jpg", "noextension"]
    index = read_index(write_tar(tmp_path / "a.tar", [(name, b"x") for name in names]))
    assert [index.name(i) for i in range(len(index))] == ["v1.5/a.jpg", "b.JPEG"]
    assert index.left_out == ()
    assert index.passed_over == {".seg.png": 1, ".cls": 1, "names without a kind": 2}


@pytest.mark.parametrize(
    ("names", "left_out", "passed_over"),
    [
        (["trip 2.0 beach.png", "trip 2.0 beach.txt"], 2, {}),
        (["22.05.jpg", "22.05.txt", "22.06.jpg", "22.06.txt"], 4, {}),
        (["photo.jpg", "photo.txt", "photo.v2.jpg", "photo.v2.txt", "photo.depth.png"], 2, {".depth.png": 1}),
        (["a.jpg", "a.json", "a.meta.json"], 0, {".meta.json": 1}),
        (["b.gif", "b.txt"], 1, {".gif": 1}),
    ],
)
def test_every_member_is_in_a_sample_or_counted(tmp_path, names, left_out, passed_over):
    index = read_index(write_tar(tmp_path / "a.tar", [(name, b"x") for name in names]))
    assert len(index.left_out) == left_out and index.passed_over == passed_over
    in_samples = sum(int((part[:, 0] >= 0).sum()) for part in (index.image, index.text, index.json))
    assert in_samples + left_out + sum(passed_over.values()) == len(names)


def test_a_name_with_an_early_dot_is_left_out_with_its_reason(tmp_path):
    index = read_index(write_tar(tmp_path / "a.tar", [("trip 2.0 beach.png", b"x")]))
    reason = "its key ends at the first dot, so that its kind is '0 beach.png'; rename it without that dot"
    assert index.left_out == (("trip 2.0 beach.png", reason),)


def test_links_are_left_out(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (("a.png", tarfile.LNKTYPE), ("b.png", tarfile.SYMTYPE), ("latest", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "c.png"
            tar.addfile(info)
    index = read_index(tmp_path / "a.tar")
    assert [name for name, _ in index.left_out] == ["a.png", "b.png"] and "--dereference" in index.left_out[0][1]
    assert index.passed_over == {"names without a kind": 1}


def test_members_of_a_sample_may_lie_apart(tmp_path):
    index = read_index(write_tar(tmp_path / "a.tar", [(n, b"x") for n in ("b.txt", "a.txt", "a.png", "b.png")]))
    assert [index.name(i) for i in range(2)] == ["a.png", "b.png"]


def test_missing_halves_and_second_members_are_left_out_and_named(tmp_path):
    names = ["a.jpg", "a.txt", "a.png", "a.jpg", "b.jpg", "c.txt", "c.json"]
    index = read_index(write_tar(tmp_path / "a.tar", [(name, b"x") for name in names]))
    assert len(index) == 1 and index.name(0) == "a.jpg"
    assert sorted(index.left_out) == [
        ("a.jpg", "a second image of key 'a'"),
        ("a.png", "a second image of key 'a'"),
        ("b.jpg", "no txt or json of key 'b'"),
        ("c.json", "no image of key 'c'"),
        ("c.txt", "no image of key 'c'"),
    ]


def test_a_bad_json_is_indexed_without_boxes(tmp_path):
    members = [("a.png", b"x"), ("a.json", b"{"), ("b.png", b"x"), ("b.json", b"[1]")]
    assert read_index(write_tar(tmp_path / "a.tar", members)).boxed.tolist() == [False, False]
