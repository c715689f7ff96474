from types import SimpleNamespace

import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn

from bus_toolkit.engine import ModelStateHook, build_runner
from bus_toolkit.engine.hooks.model_state import unwrap
from tests.engine.tiny_run import tiny_config
from tests.tiny_model import tiny_model


def test_the_model_is_called_after_every_step(tmp_path):
    runner = build_runner(tiny_config(tmp_path))
    runner.train()
    assert int(runner.model.steps) == 4


def stepped_after_each_iteration(config, monkeypatch):
    """Train and return the ``stepped`` that the model got after each iteration."""
    runner, steps = build_runner(config), []
    monkeypatch.setattr(runner.model, "after_step", lambda stepped: steps.append(stepped))
    runner.train()
    return steps


def test_between_two_steps_of_the_optimizer_the_model_is_reported_so(tmp_path, monkeypatch):
    config = tiny_config(tmp_path, max_epochs=2, batch_size=3)
    config.optim_wrapper.accumulative_counts = 2
    # Three batches an epoch: the last one is alone, and the optimizer steps with it.
    assert stepped_after_each_iteration(config, monkeypatch) == [False, True, True, False, True, True]


def test_a_step_left_out_because_gradients_overflowed_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tiny_config(tmp_path)
    # The first gradients overflow float32; a scale of 100 then serves all others.
    scale = {"init_scale": 1e38, "backoff_factor": 1e-36}
    config.optim_wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": scale}
    assert stepped_after_each_iteration(config, monkeypatch) == [False, True, True, True]


def test_a_momentum_copy_rests_while_the_optimizer_does():
    model = tiny_model(momentum={"decay": 0.5})
    for parameter in model.text_encoder.parameters():
        parameter.data.add_(1.0)
    before = {name: value.clone() for name, value in model.momentum.copies.named_parameters()}
    model.after_step(stepped=False)
    assert all(torch.equal(before[name], value) for name, value in model.momentum.copies.named_parameters())
    model.after_step(stepped=True)
    moved = [name for name, value in model.momentum.copies.named_parameters() if not torch.equal(before[name], value)]
    assert moved and all(name.startswith("text_encoder.") for name in moved)


def test_a_model_without_this_method_is_left_alone():
    runner = SimpleNamespace(model=nn.Linear(1, 1))
    ModelStateHook().after_train_iter(runner, 0)


def test_the_model_inside_a_wrapper_is_found():
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = nn.Linear(1, 1)
    assert unwrap(wrapper) is wrapper.module
