"""The tool, as a user types it: tables, files, and one line for each mistake."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bus_toolkit.errors import ConfigError, DataError
from tests.inference.toy import TEXTS, photos, run_config, write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("bus_tool_infer", ROOT / "tools" / "infer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, and three photos beside it."""
    folder = tmp_path_factory.mktemp("infer")
    write_run(folder / "run", run_config(folder / "scenes"))
    photos(folder)
    return folder


def call(tool, place, command, *flags):
    tool.main([command, str(place / "run"), "--device", "cpu", "--images", str(place / "photo_*.png"), *flags])


@pytest.mark.parametrize(
    ("command", "flags", "keys"),
    [
        ("answer", ["--text", *TEXTS], {"image", "question", "answer"}),
        ("caption", [], {"image", "caption"}),
        ("ground", ["--text", TEXTS[0]], {"image", "expression", "box", "score"}),
        ("explain", ["--text", TEXTS[1]], {"image", "text", "grid", "kept", "selectors", "tokens", "picture"}),
        ("explain", [], {"image", "text", "grid", "kept", "selectors", "tokens", "picture"}),
    ],
)
def test_a_table_is_shown_and_a_json_written(tool, place, tmp_path, capsys, command, flags, keys):
    out = tmp_path / "out"
    call(tool, place, command, *flags, "--out", str(out), "--batch-size", "2")
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


def test_a_search_takes_its_settings(tool, place, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    out = tmp_path / "found.json"
    flags = ["--texts-file", str(tmp_path / "texts.txt"), "--topk", "2", "--rerank", "3", "--out", str(out)]
    call(tool, place, "retrieve", *flags)
    results = json.loads(out.read_text())["results"]
    assert set(results) == {"i2t", "t2i"}
    assert all(len(hits) == 2 and hits[0]["match"] >= hits[1]["match"] for way in results.values() for hits in way)
    assert "image to text" in capsys.readouterr().out
    call(tool, place, "retrieve", *flags, "--direction", "t2i", "--cfg-options", "model.selectors.0.keep_ratio=0.25")
    assert set(json.loads(out.read_text())["results"]) == {"t2i"}
    shown = capsys.readouterr().out
    assert "text to image" in shown and "image to text" not in shown


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("answer", [], "--text: answer needs at least one, got none. Give --text or --texts-file"),
        ("retrieve", [], "--text: retrieve needs at least one"),
        ("caption", ["--text", "a"], "--text: caption reads none, got some"),
        ("answer", ["--text", "a", "--topk", "2"], "--topk: has an effect on retrieve only, got the command answer"),
        ("caption", ["--rerank", "2"], "--rerank: has an effect on retrieve only"),
        ("caption", ["--out", "a.csv"], "--out: must be a .json, or a folder"),
    ],
)
def test_flags_that_do_not_belong_together_are_told(tool, place, command, flags, message):
    with pytest.raises(ConfigError, match=message):
        call(tool, place, command, *flags)


def test_texts_come_from_one_place(tool, place, capsys):
    with pytest.raises(SystemExit):
        call(tool, place, "answer", "--text", "a", "--texts-file", "b")
    assert "not allowed with argument" in capsys.readouterr().err


def test_help_loads_no_host(tmp_path):
    probe = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('LOADED' if 'torch' in sys.modules else 'LIGHT'))\n"
        "sys.argv = ['tool', '--help']\n"
        f"runpy.run_path({str(ROOT / 'tools' / 'infer.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0 and "explain: which patches were read" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "LIGHT"


def test_a_broken_image_leaves_nothing_behind(tool, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("broken.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"image 3 \(broken.jpg\): the image cannot be decoded"):
        call(tool, place, "explain", "broken.jpg", "--text", "a", "--out", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.jpg"] and capsys.readouterr().out == ""
