"""The scripts of tools/ are the commands of ``bus-toolkit``: the names that users type stay."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit.cli.catalogue import NAMES
from bus_toolkit.cli.prepare import DATA_SETS

TOOLS = Path(__file__).parents[2] / "tools"
SCRIPTS = {
    "benchmark": "benchmark",
    "benchmark_annotations": "benchmark-annotations",
    "benchmark_blip": "benchmark-blip",
    "benchmark_rerank": "benchmark-rerank",
    "gpu_battery": "gpu-battery",
    "benchmark_shards": "benchmark-shards",
    "benchmark_vlm": "benchmark-vlm",
    "browse_dataset": "browse",
    "check_plugin": "check-plugin",
    "convert_weights": "convert-weights",
    "describe": "describe",
    "generate_scenes": "scenes",
    "infer": "infer",
    "list_backbones": "list-backbones",
    "make_shards": "shards",
    "new_plugin": "new-plugin",
    "plan_budget": "plan-budget",
    "run_study": "study",
    "test": "test",
    "train": "train",
    "verify_dataset": "verify",
}
PREPARATIONS = {f"prepare_data/{name}": f"prepare {name}" for name in (*DATA_SETS, "openclipart")}


def test_every_script_is_listed_and_every_command_has_one_but_those_that_never_had():
    assert {path.stem for path in TOOLS.glob("*.py")} == set(SCRIPTS)
    assert {f"prepare_data/{path.stem}" for path in TOOLS.glob("prepare_data/*.py")} == set(PREPARATIONS)
    never_had = {"prepare", "configs", "completion", "study-report", "doctor"}
    never_had |= {"report", "compare", "app", "export", "save-pretrained", "push-to-hub"}
    assert set(NAMES) - set(SCRIPTS.values()) == never_had


@pytest.mark.parametrize(("script", "command"), (SCRIPTS | PREPARATIONS).items())
def test_a_script_shows_the_help_of_its_command(script, command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(TOOLS / f"{script}.py"), run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: bus-toolkit {command} ")
    assert f"``bus-toolkit {command}``" in (TOOLS / f"{script}.py").read_text()


@pytest.mark.slow
def test_a_mistake_is_lines_without_a_traceback(tmp_path):
    command = [sys.executable, str(TOOLS / "prepare_data" / "gqa.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if re.match("error: gqa: ", line)]
    assert len(lines) == 5 and "has no train_balanced_questions.json. Get it: questions1.2.zip" in lines[0]
