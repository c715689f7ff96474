"""A run of 0.1.0 as of commit 429f112 still loads, answers with the same bits, goes on, and its plugin passes.

It was made there by ``python -m bus_toolkit train my_run.yaml`` and a plugin of ``tools/new_plugin.py``: widths of 8,
two epochs of 3 steps, momentum, queue, regions. ``scores.json`` is what its ``Inferencer`` answered (first_run.py).
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

KEPT = Path(__file__).parent / "first_0_1"


@pytest.mark.slow
def test_checkpoint_configs_and_plugin(tmp_path: Path) -> None:
    checkpoint = tmp_path / "epoch_1.pth"
    checkpoint.write_bytes(lzma.decompress((KEPT / "epoch_1.pth.xz").read_bytes()))
    for name in ("config.yaml", "my_run.yaml"):
        shutil.copy(KEPT / name, tmp_path)
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(KEPT / "plugin"), str(root)]), "OMP_NUM_THREADS": "1"}
    words = ["-m", "tests.earlier.first_run", "config.yaml", "my_run.yaml", str(checkpoint)]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["problems"]) == 1 and not any(said["problems"])
    kept = json.loads((KEPT / "scores.json").read_text())
    for answers in said["answers"]:
        for text, expected in zip(answers, kept, strict=True):
            assert [index for index, *_ in text] == [index for index, *_ in expected]
            numbers, wanted = (torch.tensor([row[1:] for row in rows]) for rows in (text, expected))
            torch.testing.assert_close(numbers, wanted, rtol=1e-4, atol=1e-5)
    assert "was written by an earlier version" in done.stderr
    assert sorted(p.name for p in (tmp_path / "went_on").glob("*.pth")) == ["epoch_2.pth"]
    ended = torch.load(tmp_path / "went_on" / "epoch_2.pth", weights_only=False)
    assert (ended["meta"]["epoch"], ended["meta"]["iter"]) == (2, 6)


def test_its_files_are_small() -> None:
    assert sum(file.stat().st_size for file in KEPT.rglob("*") if file.is_file()) < 300_000
