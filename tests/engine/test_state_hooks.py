from types import SimpleNamespace

import pytest
from mmengine.model import MMDistributedDataParallel
from torch import nn

from bus_toolkit.engine import KeepRatioScheduleHook, ModelStateHook, build_runner
from bus_toolkit.engine.state_hooks import unwrap
from tests.engine.tiny_run import tiny_config


def test_the_model_is_called_after_every_step_and_told_the_epoch_before(tmp_path):
    runner = build_runner(tiny_config(tmp_path))
    runner.train()
    assert int(runner.model.steps) == 4
    assert runner.model.progress == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.5])  # two batches an epoch


def test_a_model_without_these_methods_is_left_alone():
    runner = SimpleNamespace(model=nn.Linear(1, 1), iter=0, train_dataloader=[1])
    ModelStateHook().after_train_iter(runner, 0)
    KeepRatioScheduleHook().before_train_iter(runner, 0)


def test_the_model_inside_a_wrapper_is_found():
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = nn.Linear(1, 1)
    assert unwrap(wrapper) is wrapper.module
