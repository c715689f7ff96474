import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.writing import make_writable_folder, write_whole, writing


def test_a_file_that_cannot_be_written_is_named_with_its_flag(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--json: cannot write .*gone/a.json: No such file or directory. Set --json to"
    ):
        with writing(tmp_path / "gone" / "a.json", "--json"):
            (tmp_path / "gone" / "a.json").write_text("{}")


def test_other_errors_pass():
    with pytest.raises(KeyError), writing("a", "--out"):
        raise KeyError


def test_a_folder_is_made_and_left_empty(tmp_path):
    make_writable_folder(tmp_path / "a" / "b", "work_dir")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/self", "/proc/self/new", "/dev/null/new"])
def test_a_folder_without_the_right_to_write_is_refused(folder):
    with pytest.raises(ConfigError, match=f"work_dir: cannot write {folder}: .*. Set work_dir to a place"):
        make_writable_folder(folder, "work_dir")


def test_a_text_appears_whole_in_a_folder_that_is_made(tmp_path):
    write_whole(tmp_path / "new" / "a.txt", "ä\n")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "ä\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
