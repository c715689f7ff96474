"""A training that diverges stops with a message; what never learns is warned of."""

import logging

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from bus_toolkit.engine import AtomicCheckpointHook, LearningFaultsHook, build_runner
from bus_toolkit.engine.hooks.loss_faults import broken_tensors
from bus_toolkit.errors import ConfigError, TrainingError
from bus_toolkit.registry import MODELS
from tests.engine.tiny_run import TinyModel, tiny_config


class Break(Hook):
    """Put a value into the weights before one iteration."""

    def __init__(self, at, value):
        self.at, self.value = at, value

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            runner.model.linear.weight.data.fill_(self.value)


def run(tmp_path, *hooks, max_epochs=3, checkpoint=None, **faults):
    cfg = tiny_config(tmp_path, max_epochs=max_epochs)
    cfg.default_hooks = {
        "learning_faults": {"type": "bus_toolkit.LearningFaultsHook", **faults},
        "checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", **(checkpoint or {"interval": -1})},
    }
    runner = build_runner(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    return runner


def test_weights_that_are_not_finite_end_a_training_at_the_next_reading(tmp_path):
    runner = run(tmp_path, Break(1, float("nan")), interval=3)
    with pytest.raises(TrainingError) as caught:
        runner.train()
    assert runner.iter == 2  # in the third iteration
    message = str(caught.value)
    assert message.startswith(
        "training: the losses (loss_fit nan, loss_size nan) and 1 tensors of the model, the first linear.weight"
    )
    assert "are not finite at step 3. No checkpoint was written yet. Lower optim_wrapper.optimizer.lr" in message
    replay = f"/config.yaml --work-dir {tmp_path}/replay --cfg-options default_hooks.learning_faults.interval=1 "
    assert "To repeat it: bus-toolkit train " in message and replay in message


def test_a_training_that_diverges_at_its_very_end_does_not_end_well(tmp_path):
    with pytest.raises(TrainingError, match="not finite at step 6"):
        run(tmp_path, Break(5, float("inf"))).train()


def test_a_checkpoint_of_broken_weights_does_not_replace_a_good_one(tmp_path):
    keep = {"interval": 1, "max_keep_ckpts": 1}
    with pytest.raises(TrainingError, match=r"newest good checkpoint is .*epoch_1\.pth\."):
        run(tmp_path, Break(3, float("nan")), interval=1000, checkpoint=keep).train()
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["epoch_1.pth"]


class Infinite(TinyModel):
    """A loss that is not finite in some iterations, and moves no weight then, as under loss scaling."""

    bad: tuple[int, ...] = ()
    calls = 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        losses = super().forward(inputs, data_samples, mode)
        if mode == "loss":
            self.calls += 1
            if self.calls in self.bad:
                losses["loss_fit"] = losses["loss_fit"].detach() * float("inf")
        return losses


def with_bad_steps(runner, *bad):
    model = Infinite()
    model.bad = bad
    runner.model = model
    return runner


def test_a_single_loss_that_is_not_finite_is_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        with_bad_steps(run(tmp_path, interval=1), 2, 4).train()
    (record,) = [r for r in caplog.records if "not finite" in r.getMessage()]
    assert record.getMessage().startswith(
        "Step 2 is left out: not finite are loss_fit inf. Left out so far: 1 of 2 steps. Its samples: "
    )


def test_steps_in_a_row_are_counted_between_readings_too(tmp_path):
    runner = with_bad_steps(run(tmp_path, interval=5, max_nonfinite_steps=4), 2, 3, 4, 5)
    with pytest.raises(TrainingError, match=r"the losses \(loss_fit inf\) are not finite at step 5\.") as caught:
        runner.train()
    names = str(caught.value).partition("Samples: ")[2].partition(". To repeat")[0]
    assert len(names.split("; ")) == 4 and {int(name) for name in names.split("; ")} < set(range(8))


def test_losses_that_are_never_finite_again_end_a_short_training(tmp_path):
    with pytest.raises(TrainingError, match="at step 6"):
        with_bad_steps(run(tmp_path), 3, 4, 5, 6).train()


def test_a_config_may_let_it_go_on(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        run(tmp_path, Break(1, float("nan")), interval=1, max_nonfinite_steps=None).train()
    assert "not finite" in caplog.text


def test_a_loss_that_is_always_0_is_warned_of_once(tmp_path, caplog, monkeypatch):
    forward = TinyModel.forward

    def with_zero(self, inputs, data_samples=None, mode="tensor"):
        out = forward(self, inputs, data_samples, mode)
        return {**out, "loss_ptm": out["loss_fit"] * 0.0} if mode == "loss" else out

    monkeypatch.setattr(TinyModel, "forward", with_zero)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        run(tmp_path, max_epochs=8, interval=4).train()
    (record,) = [r for r in caplog.records if "exactly 0" in r.getMessage()]
    assert record.getMessage().startswith("loss_ptm: exactly 0 in all 12 steps so far, so nothing learns from it.")


@pytest.mark.parametrize("setting", ["interval", "max_nonfinite_steps"])
def test_settings_below_1_are_refused(setting):
    with pytest.raises(ConfigError, match=rf"LearningFaultsHook\.{setting}: must be at least 1, got 0"):
        LearningFaultsHook(**{setting: 0})


def test_other_hooks_hear_of_a_checkpoint_before_it_is_written(tmp_path):
    class Listen(Hook):
        heard = 0

        def before_checkpoint(self, runner):
            assert not list(tmp_path.glob("*.pth"))
            self.heard += 1

    listener = Listen()
    runner = run(tmp_path, listener, max_epochs=1)
    assert any(isinstance(hook, AtomicCheckpointHook) for hook in runner.hooks)
    runner.train()
    assert listener.heard == 1 and torch.is_tensor(runner.model.steps)


@MODELS.register_module(force=True)
class OverflowsOnce(TinyModel):
    """A branch without loss gets a batch of infinities in the second step."""

    def __init__(self):
        super().__init__()
        self.norm, self.calls = nn.BatchNorm1d(4), 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        self.calls += mode == "loss"
        if mode == "loss" and self.calls == 2:
            self.norm(torch.full((2, 4), float("inf")))
        return super().forward(inputs, data_samples, mode)


def test_running_statistics_that_are_nan_are_not_written(tmp_path):
    cfg = tiny_config(tmp_path, max_epochs=2)
    cfg.model = {"type": "bus_toolkit.OverflowsOnce"}
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}
    with pytest.raises(
        TrainingError, match=r"1 tensors of the model, the first norm.running_var, are not finite at step 2"
    ):
        build_runner(cfg).train()
    assert not list(tmp_path.glob("*.pth"))


def test_masks_of_infinities_are_no_fault():
    model = nn.Module()
    model.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
    model.register_buffer("nothing", torch.zeros(0))
    assert broken_tensors(model) == [] and broken_tensors(nn.Module()) == []
