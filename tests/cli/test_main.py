"""``bus-toolkit`` and ``python -m bus_toolkit``: every command, from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.cli.catalogue import NAMES, find_command
from bus_toolkit.cli.command import MAX_WIDTH
from bus_toolkit.cli.main import main
from bus_toolkit.config import list_configs
from bus_toolkit.errors import ConfigError

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mmengine", "mmcv", "mmpretrain", "transformers", "numpy", "rich")


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


def test_configs_lists_the_names_outside_of_the_repository(tmp_path):
    done = module("configs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == list_configs()


@pytest.mark.slow
def test_a_mistake_ends_with_2_and_one_line(tmp_path):
    done = module("describe", "config", "bus/bus_scene_tiny", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: bus/bus_scene_tiny: no such config file. Nearest names: bus/bus_scenes_tiny")
    assert len(done.stderr.splitlines()) == 1


def test_without_a_command_the_usage_is_shown(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: bus-toolkit COMMAND ")


def test_an_unknown_command_suggests_the_nearest():
    with pytest.raises(ConfigError, match="bus-toolkit: no command of this name, got 'trian'. Did you mean 'train'?"):
        main(["trian"])


def test_the_overview_names_every_command_by_group_in_few_columns(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown and find_command(name).summary in shown for name in NAMES)
    assert "\nPlugins:\n  new-plugin" in shown
    assert max(map(len, shown.splitlines())) <= MAX_WIDTH


@pytest.mark.parametrize("name", NAMES)
def test_a_help_says_what_the_command_does_in_few_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert caught.value.code == 0 and find_command(name).summary in " ".join(shown.split())
    assert shown.startswith(f"usage: bus-toolkit {name} ")
    assert max(map(len, shown.splitlines())) <= MAX_WIDTH


MISTAKES = (
    "trian",
    "train",
    "verify c --workers -1",
    "infer caption r --images no.jpg",
    "plan-budget c --img-size x --match y",
    "benchmark c --results no.json",
    "convert-weights x",
    "shards",
    "prepare imagenet",
)


def test_no_help_and_no_mistake_in_arguments_loads_a_library():
    probe = f"""
import contextlib, io, sys
from bus_toolkit.cli.main import main
from bus_toolkit.errors import BusError
helps = [["--help"], ["configs"], ["completion", "bash"], *([name, "--help"] for name in {NAMES})]
for words in helps + [line.split() for line in {MISTAKES}]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit, BusError):
            main(words)
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("words", ["--help", "train --help", "configs"])
def test_a_reader_that_ends_early_sees_no_traceback(words):
    command = f"{sys.executable} -m bus_toolkit {words} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stderr == "" and done.returncode in (0, 141)
