"""What the words of ``bus-toolkit infer`` mean, and where results go."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from bus_toolkit.cli import infer
from bus_toolkit.cli.infer import ask, write
from bus_toolkit.cli.infer_inputs import check_out, check_sources, expand_images, names_of, read_texts
from bus_toolkit.errors import ConfigError, DataError


def test_globs_and_paths_are_expanded_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.jpg", "c.png", "odd[1].jpg", "deep/d.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert expand_images(["c.png", "[ab].jpg"]) == ["c.png", "a.jpg", "b.jpg"]
    assert expand_images(["odd[1].jpg"]) == ["odd[1].jpg"]
    assert expand_images(["**/*.jpg"]) == ["a.jpg", "b.jpg", "deep/d.jpg", "odd[1].jpg"]
    assert expand_images(["deep", "."]) == ["deep/d.jpg", "a.jpg", "b.jpg", "c.png", "odd[1].jpg"]
    Path("empty").mkdir()
    Path("notes.txt").touch()
    for pattern in ("*.gif", "empty", "gone.jpg"):
        with pytest.raises(ConfigError, match=f"--images: no image there, got '{pattern.replace('*', '.')}'"):
            expand_images(["a.jpg", pattern])


def test_texts_come_from_the_command_line_or_a_file(tmp_path):
    assert read_texts(["a dog"], None) == ["a dog"]
    file = tmp_path / "texts.txt"
    file.write_text("a dog\n\n  a cät \n", encoding="utf-8")
    assert read_texts([], file) == ["a dog", "a cät"]
    file.write_text("\n \n")
    with pytest.raises(DataError, match="--texts-file: no text in .*texts.txt. Write one a line"):
        read_texts([], file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="--texts-file: .*texts.txt, line 1: is not UTF-8"):
        read_texts([], file)
    with pytest.raises(DataError, match="--texts-file: .*gone.txt: cannot be read: No such file"):
        read_texts([], tmp_path / "gone.txt")


def test_a_place_for_results_is_a_json_or_a_folder(tmp_path):
    (tmp_path / "run.1").mkdir()
    (tmp_path / "file").touch()
    for out in (None, tmp_path / "a.json", tmp_path / "new", tmp_path / "run.1"):
        check_out("caption", out)
    with pytest.raises(ConfigError, match=r"--out: must be a .json, or a folder for caption.json, got .*a.csv"):
        check_out("caption", tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="a folder for explain.json and the pictures, got .*file"):
        check_out("explain", tmp_path / "file")


def test_results_are_written_with_their_command(tmp_path):
    results = [{"image": "ä.png", "caption": "a dog"}]
    assert write("caption", results, tmp_path / "deep" / "a.json") == tmp_path / "deep" / "a.json"
    path = write("caption", results, tmp_path / "folder")
    assert path == tmp_path / "folder" / "caption.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"command": "caption", "results": results}
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="--out: cannot write .*file/a.json"):
        write("caption", results, tmp_path / "file" / "a.json")


class Recorder:
    """Stand in for an Inferencer: every method gives its name and what it was given."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: [name, args, kwargs]


@pytest.mark.parametrize(
    ("name", "out", "search", "expected"),
    [
        ("answer", None, {}, ["answer", (["i"], ["t"]), {}]),
        ("ground", Path("a"), {}, ["ground", (["i"], ["t"]), {}]),
        ("caption", None, {}, ["caption", (["i"],), {}]),
        ("explain", None, {}, ["explain", (["i"], ["t"]), {"out": Path(infer.PICTURES)}]),
        ("explain", Path("a/b.json"), {}, ["explain", (["i"], ["t"]), {"out": Path("a/b")}]),
        ("explain", Path("a"), {}, ["explain", (["i"], ["t"]), {"out": Path("a")}]),
        ("retrieve", None, {"direction": "i2t"}, {"i2t": ["retrieve", (["i"], ["t"]), {"direction": "i2t"}]}),
    ],
)
def test_each_command_is_a_method(name, out, search, expected):
    assert ask(Recorder(), name, ("i",), ("t",), out, **search) == expected


def test_explain_without_texts_shows_the_pass_without_text():
    assert ask(Recorder(), "explain", ["i"], [], Path("a")) == ["explain", (["i"], None), {"out": Path("a")}]


def test_a_byte_order_mark_is_no_part_of_the_first_text(tmp_path):
    (tmp_path / "texts.txt").write_bytes(b"\xef\xbb\xbfa dog\r\na cat\r\n")
    assert read_texts([], tmp_path / "texts.txt") == ["a dog", "a cat"]


def test_runs_are_called_by_what_differs_in_their_paths():
    runs = [f"out/questions/{arm}/seed_0" for arm in ("TSPS/keep_0.11", "Random/keep_0.11", "full/keep_1")]
    assert list(names_of(runs[:2])) == ["TSPS", "Random"] and list(names_of(runs).values()) == runs
    assert list(names_of(runs)) == ["TSPS/keep_0.11", "Random/keep_0.11", "full/keep_1"]
    assert names_of(["a/b", "c"]) == {"a/b": "a/b", "c": "c"} and names_of(["a/b"]) == {"a/b": "a/b"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"side_by_side": False}, "RUN_OR_CONFIG: must be one but for explain --side-by-side, got 2: a, b. Ask one"),
        ({"checkpoint": "c.pth"}, "--checkpoint: belongs to one model, got several. Give run folders"),
        ({"sources": ["a", "b/../a"]}, "RUN_OR_CONFIG: must be different ones, got a, b/../a. Give each once."),
    ],
)
def test_several_models_share_a_picture_and_nothing_else(given, message):
    args = {"sources": ["a", "b"], "side_by_side": True, "checkpoint": None}
    check_sources(argparse.Namespace(**args))
    with pytest.raises(ConfigError, match=message):
        check_sources(argparse.Namespace(**(args | given)))
