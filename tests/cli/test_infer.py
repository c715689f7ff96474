"""The as a user types it: tables, files, and one line for each mistake."""

import json
from pathlib import Path

import pytest
from PIL import Image

from bus_toolkit.cli.infer import COMMAND
from bus_toolkit.errors import ConfigError, DataError
from tests.inference.toy import TEXTS, photos, run_config, write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, and three photos beside it."""
    folder = tmp_path_factory.mktemp("infer")
    write_run(folder / "run", run_config(folder / "scenes"))
    photos(folder)
    return folder


def call(place, command, *flags):
    COMMAND.main([command, str(place / "run"), "--device", "cpu", "--images", str(place / "photo_*.png"), *flags])


@pytest.mark.parametrize(
    ("command", "flags", "keys"),
    [
        ("answer", ["--text", *TEXTS], {"image", "question", "answer"}),
        ("caption", [], {"image", "caption"}),
        ("classify", ["--text", *TEXTS, "--template", "{}.", "so {}"], {"image", "class", "probability", "classes"}),
        ("ground", ["--text", TEXTS[0]], {"image", "expression", "box", "score"}),
        ("explain", ["--text", TEXTS[1]], {"image", "text", "grid", "kept", "selectors", "tokens", "picture"}),
        ("explain", [], {"image", "text", "grid", "kept", "selectors", "tokens", "picture"}),
    ],
)
def test_a_table_is_shown_and_a_json_written(place, tmp_path, capsys, command, flags, keys):
    out = tmp_path / "out"
    call(place, command, *flags, "--out", str(out), "--batch-size", "2")
    text = capsys.readouterr().out
    path = out / f"{command}.json"
    assert text.splitlines()[-1] == str(path)
    written = json.loads(path.read_text())
    assert written["command"] == command and len(written["results"]) == 3
    for number, entry in enumerate(written["results"]):
        assert set(entry) == keys and Path(entry["image"]).name == f"photo_{number}.png"
    if command == "explain":
        assert all(Image.open(entry["picture"]).width > 0 for entry in written["results"])
        assert {path.parent for path in map(Path, (entry["picture"] for entry in written["results"]))} == {out}


def test_several_runs_are_explained_side_by_side(place, tmp_path, capsys):
    (tmp_path / "copy").mkdir()
    for file in (place / "run").iterdir():
        (tmp_path / "copy" / file.name).symlink_to(file)
    runs = [str(place / "run"), str(tmp_path / "copy")]
    flags = ["--device", "cpu", "--images", str(place / "photo_0.png"), "--text", *TEXTS[:2], "--side-by-side"]
    COMMAND.main(["explain", *runs, *flags, "--out", str(tmp_path / "out")])
    written = json.loads((tmp_path / "out" / "explain.json").read_text())["results"]
    assert len({entry["model"] for entry in written}) == 2 and len(written) == 4
    assert written[0]["model"].endswith("run") and "copy" in capsys.readouterr().out
    assert Image.open(tmp_path / "out" / "explain_000.png").width > 0


def test_a_search_takes_its_settings(place, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    out = tmp_path / "found.json"
    flags = ["--texts-file", str(tmp_path / "texts.txt"), "--topk", "2", "--rerank", "3", "--out", str(out)]
    call(place, "retrieve", *flags)
    results = json.loads(out.read_text())["results"]
    assert set(results) == {"i2t", "t2i"}
    assert all(len(hits) == 2 and hits[0]["match"] >= hits[1]["match"] for way in results.values() for hits in way)
    assert "image to text" in capsys.readouterr().out
    call(place, "retrieve", *flags, "--direction", "t2i", "--cfg-options", "model.selectors.0.keep_ratio=0.25")
    assert set(json.loads(out.read_text())["results"]) == {"t2i"}
    shown = capsys.readouterr().out
    assert "text to image" in shown and "image to text" not in shown


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("answer", [], "--text: answer needs at least one, got none. Give --text or --texts-file"),
        ("retrieve", [], "--text: retrieve needs at least one"),
        ("caption", ["--text", "a"], "--text: caption reads none, got some"),
        (
            "answer",
            ["--text", "a", "--topk", "2"],
            "--topk: has an effect on retrieve and classify only, got the command answer",
        ),
        (
            "retrieve",
            ["--text", "a", "--template", "{}"],
            "--template: has an effect on classify only, got the command",
        ),
        ("caption", ["--rerank", "2"], "--rerank: has an effect on retrieve only"),
        ("caption", ["--out", "a.csv"], "--out: must be a .json, or a folder"),
    ],
)
def test_flags_that_do_not_belong_together_are_reported(place, command, flags, message):
    with pytest.raises(ConfigError, match=message):
        call(place, command, *flags)


def test_texts_come_from_one_place(place, capsys):
    with pytest.raises(SystemExit):
        call(place, "answer", "--text", "a", "--texts-file", "b")
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_broken_image_leaves_no_files(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("broken.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"image 3 \(broken.jpg\): the image cannot be decoded"):
        call(place, "explain", "broken.jpg", "--text", "a", "--out", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.jpg"] and capsys.readouterr().out == ""
