"""MMEngine's EMAHook on our Runner: what is evaluated, saved, tested and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook

from bus_toolkit.engine import BusRunner, RunOptions, build_runner, load_checkpoint_file
from bus_toolkit.errors import ConfigError
from tests.engine.tiny_run import tiny_config

MOMENTUM = 0.5


def averaged(work_dir: Path, max_epochs: int = 2):  # noqa: ANN201 - MMEngine's Config
    config = tiny_config(work_dir, max_epochs=max_epochs)
    config.custom_hooks = [{"type": "bus_toolkit.EMAHook", "momentum": MOMENTUM}]
    return config


def weight_by_hand(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[BusRunner, torch.Tensor]:
    """Train; return the Runner and the average of the weights after each step, the first as it is."""
    runner, seen = build_runner(averaged(work_dir)), []
    monkeypatch.setattr(
        runner.model, "after_step", lambda stepped: seen.append(runner.model.linear.weight.detach().clone())
    )
    runner.train()
    average = seen[0]
    for weight in seen[1:]:
        average = (1 - MOMENTUM) * average + MOMENTUM * weight
    return runner, average


def test_the_average_is_saved_as_the_model_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, average = weight_by_hand(tmp_path, monkeypatch)
    saved = load_checkpoint_file(tmp_path / "epoch_2.pth")
    torch.testing.assert_close(saved["state_dict"]["linear.weight"], average)
    own = runner.model.linear.weight
    torch.testing.assert_close(saved["ema_state_dict"]["module.linear.weight"], own.detach())  # the two change places
    assert not torch.equal(own, average)

    points = torch.stack([sample["inputs"] for sample in runner.val_dataloader.dataset])
    mean = (points @ average.T + saved["state_dict"]["linear.bias"]).mean().item()
    assert runner.val_loop.run()["tiny/mean"] == pytest.approx(mean, rel=1e-5)
    torch.testing.assert_close(runner.model.linear.weight, own)  # the training's weights are back


@pytest.mark.parametrize("hooked", [True, False])
def test_a_test_of_the_checkpoint_is_a_test_of_the_average(tmp_path: Path, hooked: bool) -> None:
    trained = build_runner(averaged(tmp_path))
    trained.train()
    config = averaged(tmp_path)
    config.train_dataloader = config.train_cfg = config.optim_wrapper = config.param_scheduler = None
    config.custom_hooks = config.custom_hooks if hooked else None
    tester = build_runner(config, RunOptions(load_from=str(tmp_path / "epoch_2.pth")))
    assert tester.test() == pytest.approx(trained.val_loop.run())


def test_a_resumed_run_goes_on_with_both(tmp_path: Path) -> None:
    build_runner(averaged(tmp_path / "whole", 4)).train()
    build_runner(averaged(tmp_path / "split", 2)).train()
    resumed = build_runner(averaged(tmp_path / "split", 4), RunOptions(resume="latest"))
    resumed.train()
    whole, split = (load_checkpoint_file(tmp_path / name / "epoch_4.pth") for name in ("whole", "split"))
    for state in ("state_dict", "ema_state_dict"):
        for name, value in whole[state].items():
            torch.testing.assert_close(split[state][name], value, msg=f"{state} {name}")
    (hook,) = [hook for hook in resumed.hooks if isinstance(hook, EMAHook)]
    assert int(hook.ema_model.steps) == 8


@pytest.mark.parametrize(("begin", "end"), [({"begin_epoch": 9}, 2), ({"begin_iter": 9}, 4)])
def test_an_average_that_starts_after_the_end_is_refused(tmp_path: Path, begin: dict[str, int], end: int) -> None:
    config = averaged(tmp_path)
    config.custom_hooks[0].update(begin)
    (name,) = begin
    with pytest.raises(ConfigError, match=rf"EMAHook.{name}: must be at most the end of the training, {end}, got 9"):
        build_runner(config).train()
