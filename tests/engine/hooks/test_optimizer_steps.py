"""Gradient accumulation: averages, checkpoints and resumed runs count steps of the optimizer."""

import logging
from pathlib import Path

import pytest
import torch

from bus_toolkit.engine import EMAHook, RunOptions, build_runner, load_checkpoint_file
from bus_toolkit.errors import ConfigError
from tests.engine.tiny_run import tiny_config


def config(tmp_path, *, max_epochs=1, batch_size=1, length=13, accumulate=4, iterations=None, **checkpoint):
    """Return a run of ``length`` points; ``iterations`` makes its loop count these."""
    cfg = tiny_config(tmp_path, max_epochs=max_epochs, batch_size=batch_size)
    cfg.train_dataloader.dataset.length = length
    cfg.optim_wrapper.accumulative_counts = accumulate
    cfg.custom_hooks = [{"type": "bus_toolkit.EMAHook", "momentum": 0.5}]
    if iterations:
        cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": 1000}
        cfg.train_dataloader.sampler = {"type": "InfiniteSampler", "shuffle": False}
    settings = {"interval": 1, "by_epoch": not iterations} | checkpoint
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", **settings}}
    return cfg


def trained(cfg, **options):
    runner = build_runner(cfg, RunOptions(**options))
    runner.train()
    return runner


def average(runner):
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    return hook.ema_model


def test_the_average_moves_once_a_step(tmp_path):
    assert int(average(trained(config(tmp_path))).steps) == 4  # 13 iterations by 4


def test_the_average_rests_when_float16_leaves_a_step_out(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = config(tmp_path, length=4, accumulate=1)
    scale = {"init_scale": 1e38, "backoff_factor": 1e-36}  # the first gradients overflow float32, no others
    cfg.optim_wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": scale}
    assert int(average(trained(cfg)).steps) == 3


def test_the_average_starts_from_the_weights_of_the_training(tmp_path, monkeypatch):
    cfg = config(tmp_path, length=2, accumulate=4)
    runner = build_runner(cfg)
    monkeypatch.setattr(runner.model, "init_weights", lambda: runner.model.linear.weight.data.fill_(7.0))
    seen = []
    monkeypatch.setattr(
        runner.model, "after_step", lambda stepped: seen.append(average(runner).module.linear.weight.mean().item())
    )
    runner.train()
    assert seen[0] == 7.0  # inside the first step


@pytest.mark.parametrize(("length", "batch_size"), [(13, 1), (6, 3)])
def test_a_step_ends_with_the_epoch_by_the_mean_of_its_batches(tmp_path, length, batch_size):
    cfg = config(tmp_path, length=length, batch_size=batch_size)
    cfg.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.1}
    cfg.param_scheduler = None
    cfg.train_dataloader.sampler.shuffle = False
    runner = build_runner(cfg)
    weight, bias = (p.detach().clone().requires_grad_() for p in runner.model.linear.parameters())
    runner.train()
    points = runner.train_dataloader.dataset.points
    batches = points.split(batch_size)
    for start in range(0, len(batches), 4):  # by hand: each step is the mean over its batches
        losses = []
        for x in batches[start : start + 4]:
            out = x @ weight.T + bias
            losses.append((out - x.sum(-1, keepdim=True)).pow(2).mean() + 1e-3 * out.pow(2).mean())
        grads = torch.autograd.grad(torch.stack(losses).mean(), [weight, bias])
        weight, bias = ((p - 0.1 * g).detach().requires_grad_() for p, g in zip((weight, bias), grads, strict=True))
    torch.testing.assert_close(runner.model.linear.weight, weight)


def test_a_checkpoint_of_every_epoch_goes_on_as_an_unbroken_run(tmp_path, caplog):
    trained(config(tmp_path / "whole", max_epochs=3))
    trained(config(tmp_path / "split", max_epochs=2))
    with caplog.at_level(logging.WARNING):
        trained(config(tmp_path / "split", max_epochs=3), resume="latest")
    assert "not divisible" not in caplog.text and "inside a step" not in caplog.text
    whole, split = (load_checkpoint_file(tmp_path / name / "epoch_3.pth") for name in ("whole", "split"))
    for state in ("state_dict", "ema_state_dict"):
        for name, value in whole[state].items():
            torch.testing.assert_close(split[state][name], value, msg=f"{state} {name}")


def saved(folder: Path) -> list[int]:
    return sorted(int(path.stem.split("_")[1]) for path in folder.glob("iter_*.pth"))


def test_a_checkpoint_that_is_due_inside_a_step_waits_for_its_end(tmp_path):
    trained(config(tmp_path, iterations=18, interval=5))
    assert saved(tmp_path) == [8, 12, 16, 18]  # due at 5, 10, 15 and the end
    trained(config(tmp_path / "plain", iterations=18, interval=5, accumulate=1))
    assert saved(tmp_path / "plain") == [5, 10, 15, 18]


def test_a_run_resumed_from_such_a_checkpoint_ends_as_an_unbroken_one(tmp_path):
    trained(config(tmp_path, iterations=16, interval=5))
    (tmp_path / "split").mkdir()
    resumed = trained(config(tmp_path / "split", iterations=16, interval=5), resume=str(tmp_path / "iter_8.pth"))
    assert resumed.iter == 16
    whole, split = (load_checkpoint_file(folder / "iter_16.pth") for folder in (tmp_path, tmp_path / "split"))
    for name, value in whole["state_dict"].items():
        torch.testing.assert_close(split["state_dict"][name], value, msg=name)


def test_a_checkpoint_from_inside_a_step_is_said_to_have_lost_its_part(tmp_path, caplog):
    trained(config(tmp_path, iterations=6, interval=-1))  # ends inside a step of four
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        trained(config(tmp_path, iterations=12, interval=-1), resume="latest")
    assert "written inside a step of accumulated gradients (iteration 6)" in caplog.text


def test_two_averages_are_refused(tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.custom_hooks = [{"type": "bus_toolkit.EMAHook"}, {"type": "bus_toolkit.EMAHook", "momentum": 0.1}]
    with pytest.raises(ConfigError, match="custom_hooks: one EMAHook keeps the average, got several"):
        build_runner(cfg)
