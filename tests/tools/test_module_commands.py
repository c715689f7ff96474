"""``python -m bus_toolkit``: the commands of an installed toolkit are those of tools/."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.__main__ import COMMANDS, main
from bus_toolkit.config import list_configs
from tests.tools.test_train_cli import load_tool

ROOT = Path(__file__).parents[2]


def module(*words, cwd):
    """Run the module in a folder that is not the repository."""
    return subprocess.run(
        [sys.executable, "-m", "bus_toolkit", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )


@pytest.mark.parametrize(
    ("command", "calls", "words"),
    [
        ("train", "train", ["c.yaml", "--seed", "3", "--amp", "--cfg-options", "a.b=1", "c=2"]),
        ("test", "evaluate", ["c.yaml", "w.pth", "--out", "m.json", "--launcher", "pytorch"]),
    ],
)
def test_a_command_does_what_its_script_does(command, calls, words, monkeypatch):
    made = []
    monkeypatch.setattr(f"bus_toolkit.engine.{calls}", lambda *args, **kwargs: made.append((args, kwargs)))
    load_tool(command).main(words)
    main([command, *words])
    assert len(made) == 2 and made[0] == made[1]


def test_describe_shows_a_config_by_name(capsys):
    words = ["config", "bus/bus_scenes_tiny", "--cfg-options", "model.decoder.type=Identity"]
    load_tool("describe").main(words)
    script = capsys.readouterr().out
    main(["describe", *words])
    assert capsys.readouterr().out == script
    assert "  decoder:\n    type: Identity\n" in script


def test_configs_lists_the_names_outside_of_the_repository(tmp_path):
    done = module("configs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == list_configs()


def test_a_mistake_ends_with_2_and_one_line(tmp_path):
    done = module("describe", "config", "bus/bus_scene_tiny", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: bus/bus_scene_tiny: no such config file. Nearest names: bus/bus_scenes_tiny")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["prune"]])
def test_a_wrong_command_shows_the_usage_and_the_choices(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m bus_toolkit ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does_and_does_not_load_torch(name):
    probe = (
        "import sys\nfrom bus_toolkit.__main__ import main\n"
        f"try: main([{name!r}, '--help'])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0 and COMMANDS[name].summary in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "False"
