"""A training never waits for a GPU between two lines of its log: the whole iteration, with all hooks, on a fake one."""

import pytest
import torch
from mmengine.hooks import Hook

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.testing.fake_gpu import DEVICE, fake_gpu
from tests.engine.vlp_run import vlp_config


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


class Finished(Exception):
    """The iterations that were to be seen have been run."""


class _ToGPU(Hook):
    """Move model and optimizer there before the first step; note what waits after the first line of the log."""

    priority = "VERY_LOW"

    def __init__(self, gpu):
        self.gpu = gpu

    def before_train(self, runner):
        names = {id(parameter): name for name, parameter in runner.model.named_parameters()}
        moved = dict(self.gpu.module(runner.model).named_parameters())
        for group in runner.optim_wrapper.param_groups:
            # Momentum copies are made again when the weights are loaded; no optimizer moves them.
            group["params"] = [moved[names[id(p)]] for p in group["params"] if id(p) in names]
        runner.model.data_preprocessor._device = DEVICE

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 0:
            self.gpu.watch.places.clear()  # the first step is read, to be shown
        if runner.iter == 2:
            self.places = list(self.gpu.watch.places)
            raise Finished


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("optim_wrapper.optimizer.fused=true", "optim_wrapper.clip_grad={max_norm: 1.0}"),
        ("optim_wrapper.optimizer.fused=false", "model.momentum={}", "model.heads.itc.queue_size=16"),
    ],
)
def test_steps_between_two_lines_do_not_wait(scenes, tmp_path, more):
    config = vlp_config(scenes, *more, "default_hooks.checkpoint.interval=100", steps=9, batch_size=2)
    runner = build_runner(config, RunOptions(work_dir=str(tmp_path), no_validate=True))
    with fake_gpu(torch.bfloat16, may_wait=True) as gpu:
        hook = _ToGPU(gpu)
        runner.register_hook(hook)
        with pytest.raises(Finished):
            runner.train()
    assert hook.places == []
