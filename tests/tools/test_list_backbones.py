"""tools/list_backbones.py: the table of those asked for, and names that mmpretrain does not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "list_backbones.py"


def run(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *names], capture_output=True, text=True, check=False)


def test_it_prints_the_document_and_nothing_of_the_hosts() -> None:
    done = run("VisionTransformer", "ResNet", "LeNet5")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "# Backbones"
    rows = [line.split(" | ")[:2] for line in lines if line.startswith("| `")]
    assert rows == [["| `VisionTransformer`", "inside"], ["| `ResNet`", "behind"], ["| `LeNet5`", "refused"]]


def test_a_mistyped_name_is_told() -> None:
    done = run("SwinTransfomer")
    assert done.returncode == 2
    assert (
        "SwinTransfomer: mmpretrain has no such backbone. Did you mean 'SwinTransformer'?" in done.stderr + done.stdout
    )
