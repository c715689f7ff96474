import pytest

from bus_toolkit.data.shards.shard_paths import expand_braces, find_shards
from bus_toolkit.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("{cc,sbu}-{0..1}.tar", ["cc-0.tar", "cc-1.tar", "sbu-0.tar", "sbu-1.tar"]),
    ],
)
def test_braces_are_written_out(pattern, names):
    assert sorted(expand_braces(pattern, "x")) == names


@pytest.mark.parametrize("pattern", ["a-{3..1}.tar", "a-{x}.tar", "a-{}.tar"])
def test_braces_that_mean_nothing_are_refused(pattern):
    with pytest.raises(DataError, match=r"ShardDataset.shards: cannot read \{.*Allowed are a rising range"):
        find_shards(pattern, "ShardDataset.shards")


def test_a_list_of_paths_globs_and_braces_keeps_its_order(tmp_path):
    for name in ("b-1.tar", "b-0.tar", "a.tar", "a.tar.index.npz", "c-0.tar", "c-1.tar"):
        (tmp_path / name).touch()
    paths = find_shards([f"{tmp_path}/b-*", f"{tmp_path}/a*", f"{tmp_path}/c-{{0..1}}.tar"], "x")
    assert [path.name for path in paths] == ["b-0.tar", "b-1.tar", "a.tar", "c-0.tar", "c-1.tar"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "names no shard"),
        (["no-*.tar"], r"no file matches '.*no-\*.tar'"),
        (["a.tar", "gone-{0..3}.tar"], r"4 of 5 shards are not there, the first is .*gone-0.tar"),
        (["a.tar", "a*.tar"], "a.tar is named twice. Name each shard once"),
        (["a.tar", "link/a.tar"], "link/a.tar is named twice, as .*a.tar too"),
        (["b.tar.gz"], "b.tar.gz is compressed, .* Uncompress it"),
    ],
)
def test_what_is_not_there_is_reported(tmp_path, names, message):
    (tmp_path / "a.tar").touch()
    (tmp_path / "b.tar.gz").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match=f"here: {message}|here: .*{message}"):
        find_shards([f"{tmp_path}/{name}" for name in names], "here")


@pytest.mark.parametrize("pattern", ["{0..3000000000}", "{0..999}{0..999}{0..9}", "{a,b}" * 20])
def test_braces_that_name_millions_of_shards_are_refused(pattern):
    with pytest.raises(DataError, match=r"here: .* names \d+ shards, allowed are 1000000.*BUS_MAX_SHARD_NAMES"):
        expand_braces(pattern, "here")


def test_a_pattern_longer_than_a_path_is_refused():
    with pytest.raises(DataError, match="here: a path has at most 4096 characters, got 12000"):
        expand_braces("{0..0}" * 2000, "here")
