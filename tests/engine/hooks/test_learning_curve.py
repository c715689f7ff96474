"""The course of a training."""

from __future__ import annotations

from pathlib import Path

from bus_toolkit.engine.build_runner import build_runner
from bus_toolkit.engine.hooks.learning_curve import LearningCurveHook
from tests.engine.tiny_run import tiny_config


def test_every_validation_is_a_point_and_no_seconds_of_training(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 3, "val_interval": 2}
    runner = build_runner(config)
    hook = LearningCurveHook(macs=10, validate_first=True)
    runner.register_hook(hook)
    runner.train()
    assert [point["step"] for point in hook.points] == [0, 2, 3]
    assert [point["macs"] for point in hook.points] == [0, 80, 120]
    seconds = [point["seconds"] for point in hook.points]
    assert seconds == sorted(seconds) and seconds[-1] == round(hook.speed.seconds, 2)
    assert hook.points[0]["val"].keys() == {"tiny/mean"} and hook.points[0] != hook.points[1]
    runner.val()
    assert len(hook.points) == 3, "a validation after the training is no point of its curve"
