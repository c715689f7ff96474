"""The short version of ``python -m tests.kills``, and what its comparison sees."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch

from tests.kills.comparing import differences
from tests.kills.killing import kill_until_done
from tests.kills.training import Setting


@pytest.mark.slow
def test_a_killed_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    setting = Setting(workers=2, data=tmp_path / "scenes", epochs=2)
    kill_until_done(tmp_path / "unbroken", setting, 0, random.Random(0))
    kills = kill_until_done(tmp_path / "killed", setting, 3, random.Random(5))
    assert kills.total() >= 1
    assert differences(tmp_path / "killed" / "work", tmp_path / "unbroken" / "work") == []


def test_the_comparison_sees_a_bit_and_a_figure(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "1" / "vis_data").mkdir(parents=True)
        state = {"state_dict": {"w": torch.zeros(3)}, "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}}}
        torch.save({**state, "meta": {"epoch": 1, "iter": 2}}, tmp_path / name / "iter_2.pth")
        lines = [{"loss": 1.5, "time": 0.1, "step": 1}, {"loss": 1.25, "time": 0.2, "step": 2}, {"R@1": 0.5, "step": 2}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "1" / "vis_data" / "scalars.json").write_text(text)
    assert differences(tmp_path / "a", tmp_path / "b") == []
    state["state_dict"]["w"][1] = 1e-45
    torch.save({**state, "meta": {"epoch": 1, "iter": 2}}, tmp_path / "a" / "iter_2.pth")
    again = tmp_path / "a" / "2" / "vis_data"
    shutil.copytree(tmp_path / "a" / "1" / "vis_data", again)
    (again / "scalars.json").write_text('{"loss": 1.2500001, "time": 9, "step": 2}\n{"loss": 1.')
    assert differences(tmp_path / "a", tmp_path / "b") == [
        "state_dict.w",
        "log: step ('train', 2), loss: 1.2500001, not 1.25",
    ]
