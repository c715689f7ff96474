"""mmpretrain's classifier with our backbone, trained and tested by MMEngine's Runner as mmpretrain's tools call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mmpretrain
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from tests.models.openmmlab_tiny import reduced, run_config, vit

TOOLS = Path(mmpretrain.__file__).parent / ".mim" / "tools"
TOME = {"type": "ToMe", "blocks": [1, 3], "num_merged": 4}
FALLING = {"type": "EViT", "blocks": [2], "keep_ratio": {"start": 1.0, "end": 0.5, "epochs": 1, "shape": "linear"}}
SCHEDULE = {"type": "bus_toolkit.KeepRatioScheduleHook"}
EMA = {"type": "EMAHook", "momentum": 0.1}


@HOOKS.register_module(force=True)
class NoteKeepRatio(Hook):
    """Note the keep ratio of each step."""

    seen: list[float]

    def before_train(self, runner: Runner) -> None:
        type(self).seen = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.seen.append(runner.model.backbone.selectors[0].keep_ratio)


@pytest.mark.slow
def test_a_plain_run_is_tested_with_fewer_tokens_without_training(tmp_path: Path) -> None:
    Runner.from_cfg(run_config(tmp_path, vit())).train()
    weights = str(tmp_path / "run" / "epoch_2.pth")
    nothing = {**TOME, "num_merged": 0}
    scores = [
        Runner.from_cfg(
            run_config(tmp_path, backbone, load_from=weights, experiment_name=f"test{index}", custom_hooks=[])
        ).test()["accuracy/top1"]
        for index, backbone in enumerate([vit(), reduced(nothing), reduced(TOME)])
    ]
    assert scores[0] == scores[1]
    assert 0.0 <= scores[2] <= 100.0


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "OptimWrapper", "accumulative_counts": 2},
        {"type": "bus_toolkit.CPUAmpOptimWrapper"},
        {"constructor": "LearningRateDecayOptimWrapperConstructor", "paramwise_cfg": {"layer_decay_rate": 0.5}},
    ],
    ids=["accumulation", "mixed precision", "layer decay"],
)
def test_it_trains_and_resumes_with_their_hooks_and_wrappers(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    wrapper = {"optimizer": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.05}, **optimizer}
    settings: dict[str, Any] = {"optim_wrapper": wrapper, "custom_hooks": [EMA, SCHEDULE]}
    runner = Runner.from_cfg(run_config(tmp_path, reduced(FALLING), **settings))
    before = runner.model.backbone.vit.layers[0].attn.qkv.weight.detach().clone()
    runner.train()
    assert not torch.equal(before, runner.model.backbone.vit.layers[0].attn.qkv.weight)
    again = run_config(tmp_path, reduced(FALLING), **settings, resume=True, experiment_name="again")
    again.train_cfg.max_epochs = 3
    longer = Runner.from_cfg(again)
    longer.train()
    assert longer.iter == 6


def test_the_hook_moves_a_scheduled_keep_ratio(tmp_path: Path) -> None:
    hooks = [SCHEDULE, {"type": "NoteKeepRatio", "priority": "LOW"}]
    Runner.from_cfg(run_config(tmp_path, reduced(FALLING), custom_hooks=hooks)).train()
    assert NoteKeepRatio.seen == [1.0, 0.75, 0.5, 0.5]  # two batches an epoch


def test_a_schedule_that_nobody_moves_is_an_error_in_training_only(tmp_path: Path) -> None:
    runner = Runner.from_cfg(run_config(tmp_path, reduced(FALLING)))
    with pytest.raises(Exception, match=r"needs the hook that moves it.*KeepRatioScheduleHook"):
        runner.train()
    runner.test()


@pytest.mark.slow
def test_the_tools_of_the_mmpretrain_wheel_run_the_config(tmp_path: Path) -> None:
    config = run_config(tmp_path, reduced(FALLING), log_level="INFO", custom_hooks=[SCHEDULE])
    config.dump(tmp_path / "config.py")

    def call(script: str, *arguments: str) -> str:
        command = [sys.executable, str(TOOLS / script), str(tmp_path / "config.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout + done.stderr

    call("train.py")
    assert "accuracy/top1" in call("test.py", str(tmp_path / "run" / "epoch_2.pth"))
    assert "Flops" in call("analysis_tools/get_flops.py", "--shape", "32")
